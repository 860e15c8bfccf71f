//! Every site is held against a listing of a real function; see [`super::listings`].

use super::listings::*;
use super::*;
use crate::binary::listing::Listing;
use proptest::prelude::*;

impl Listing {
    fn entry(&self) -> Result<Site, SiteError> {
        entry_site(&self.code, self.start)
    }

    fn returns(&self) -> Result<Vec<u64>, SiteError> {
        let sites = return_sites(&self.code, self.start)?;
        for site in &sites {
            assert_eq!(site.instruction, "ret");
            assert_eq!((site.class, site.point), (SiteClass::SingleStepped, SitePoint::Return));
            assert!(!site.on_stack_check);
        }
        Ok(sites.into_iter().map(|site| site.address.0).collect())
    }
}

fn emulated(address: u64, instruction: &str) -> Site {
    Site {
        address: LinkAddr(address),
        instruction: instruction.to_owned(),
        class: SiteClass::Emulated,
        point: SitePoint::Entry,
        on_stack_check: false,
    }
}

fn stepped(address: u64, instruction: &str) -> Site {
    Site { class: SiteClass::SingleStepped, ..emulated(address, instruction) }
}

fn on_stack_check(address: u64, instruction: &str) -> Site {
    Site { on_stack_check: true, ..emulated(address, instruction) }
}

#[test]
fn the_push_behind_the_stack_check_is_taken() {
    let goexit0 = Listing::parse(GOEXIT0_1_27);
    assert_eq!(goexit0.entry(), Ok(emulated(0x455b06, "push %rbp")));
    assert_eq!(goexit0.returns(), Ok(vec![0x455b1d]));
}

#[test]
fn a_function_whose_frame_is_made_by_sub_is_probed_on_the_jbe_of_its_stack_check() {
    let lock = Listing::parse(RWMUTEX_LOCK_1_20);
    assert_eq!(lock.entry(), Ok(on_stack_check(0x4708a4, "jbe 0x47091b")));
    assert_eq!(lock.returns(), Ok(vec![0x47091a]));
}

#[test]
fn the_stack_check_of_a_large_frame_is_recognised() {
    let new = Listing::parse(VDSOAUXV_1_27);
    assert_eq!(new.entry(), Ok(emulated(0x4791cb, "push %rbp")));
    assert_eq!(new.returns(), Ok(vec![0x47922e, 0x479234]));

    let old = Listing::parse(VDSOAUXV_1_18);
    assert_eq!(old.entry(), Ok(on_stack_check(0x45b889, "jbe 0x45b91c")));
    assert_eq!(old.returns(), Ok(vec![0x45b90b, 0x45b91b]));
}

#[test]
fn the_stack_check_of_a_huge_frame_is_recognised_with_its_underflow_check() {
    assert_eq!(Listing::parse(HUGE_1_21).entry(), Ok(emulated(0x45ed32, "push %rbp")));
    // Not the `jb` before it: that one is passed by a call that still may start again.
    assert_eq!(Listing::parse(HUGE_1_18).entry(), Ok(on_stack_check(0x45db30, "jbe 0x45dba8")));
}

#[test]
fn the_stack_check_of_the_system_stack_is_recognised() {
    let alloc = Listing::parse(ALLOC_MANUAL_1_27);
    assert_eq!(alloc.entry(), Ok(emulated(0x43bc66, "push %rbp")));
    assert_eq!(alloc.returns(), Ok(vec![0x43bc7e]));
}

#[test]
fn a_function_without_stack_check_is_probed_at_its_first_instruction() {
    assert_eq!(Listing::parse(NOSPLIT_1_26).entry(), Ok(emulated(0x489420, "push %rbp")));
    assert_eq!(Listing::parse(NOSPLIT_1_20).entry(), Ok(stepped(0x4614e0, "sub $0x18,%rsp")));
    assert_eq!(Listing::parse(LOOP_1_26).entry(), Ok(emulated(0x489460, "jmp 0x489479")));
}

#[test]
fn a_jump_table_is_no_way_out_of_the_function() {
    let status = Listing::parse(GO_STATUS_1_27);
    assert_eq!(status.entry(), Ok(emulated(0x475660, "push %rbp")));
    assert_eq!(status.returns(), Ok(vec![0x4756c6]));
}

#[test]
fn an_abi0_wrapper_is_refused() {
    let osinit = Listing::parse(OSINIT_ABI0_1_27);
    assert_eq!(osinit.entry(), Err(SiteError::Abi0(LinkAddr(0x48ae40))));
}

#[test]
fn a_tail_call_has_no_return_sites() {
    let osinit = Listing::parse(OSINIT_ABI0_1_27);
    let refused = SiteError::TailCall { start: osinit.start, address: LinkAddr(0x48ae4d) };
    assert_eq!(osinit.returns(), Err(refused));

    let indirect = Listing::parse("1000: 48 8b 10  mov (%rax),%rdx\n1003: ff e2  jmp *%rdx\n");
    let refused = SiteError::TailCall { start: LinkAddr(0x1000), address: LinkAddr(0x1003) };
    assert_eq!(indirect.returns(), Err(refused));
}

#[test]
fn an_emulated_instruction_is_preferred_to_an_earlier_one_that_is_single_stepped() {
    let code = Listing::parse(
        "1000: 48 85 c0  test %rax,%rax\n1003: 74 01  je 1006\n1005: c3  ret\n1006: c3  ret\n",
    );
    assert_eq!(code.entry(), Ok(emulated(0x1003, "je 0x1006")));
}

#[test]
fn nothing_behind_a_changed_argument_register_is_taken() {
    let code = Listing::parse(
        "1000: 48 01 d8  add %rbx,%rax\n1003: 55  push %rbp\n1004: 5d  pop %rbp\n1005: c3  ret\n",
    );
    assert_eq!(code.entry(), Ok(stepped(0x1000, "add %rbx,%rax")));
}

#[test]
fn nothing_behind_a_conditional_branch_is_taken() {
    let code = Listing::parse(
        "1000: 66 2e 75 02  jne,pn 1006\n1004: 55  push %rbp\n1005: 5d  pop %rbp\n1006: c3  ret\n",
    );
    assert_eq!(code.entry(), Err(SiteError::NoSafeInstruction { start: LinkAddr(0x1000) }));
}

#[test]
fn an_entry_that_is_the_head_of_a_loop_is_refused() {
    let code = Listing::parse("1000: 48 85 c0  test %rax,%rax\n1003: 75 fb  jne 1000\n1005: c3  ret\n");
    assert_eq!(code.entry(), Err(SiteError::NoSafeInstruction { start: LinkAddr(0x1000) }));
    assert_eq!(code.returns(), Ok(vec![0x1005]));
}

#[test]
fn a_back_jump_to_the_start_that_is_not_morestacks_is_a_loop() {
    // As RWMUTEX_LOCK_1_20, but the block behind the check calls nothing.
    let code = Listing::parse(
        "1000: 49 3b 66 10  cmp 0x10(%r14),%rsp\n1004: 76 02  jbe 1008\n1006: 55  push %rbp\n1007: c3  ret\n\
         1008: 90  nop\n1009: eb f5  jmp 1000\n",
    );
    assert_eq!(code.entry(), Err(SiteError::NoSafeInstruction { start: LinkAddr(0x1000) }));
}

#[test]
fn an_entry_that_a_jump_table_may_lead_back_to_is_refused() {
    let code =
        Listing::parse("1000: 48 85 c0  test %rax,%rax\n1003: ff 24 c1  jmp *(%rcx,%rax,8)\n1006: c3  ret\n");
    assert_eq!(code.entry(), Err(SiteError::NoSafeInstruction { start: LinkAddr(0x1000) }));
}

#[test]
fn an_empty_body_is_refused() {
    assert_eq!(entry_site(&[], LinkAddr(7)), Err(SiteError::Empty(LinkAddr(7))));
}

#[test]
fn a_body_that_does_not_decode_is_refused_with_the_address() {
    let refused = SiteError::Undecodable { start: LinkAddr(0x1000), address: LinkAddr(0x1001) };
    assert_eq!(entry_site(&[0x55, 0x06, 0xc3], LinkAddr(0x1000)), Err(refused.clone()));
    assert_eq!(return_sites(&[0x55, 0x48], LinkAddr(0x1000)), Err(refused));
}

#[test]
fn a_body_longer_than_any_functions_is_refused() {
    let start = LinkAddr(0x1000);
    let refused = SiteError::TooLong { start, len: LONGEST_BODY + 1 };
    assert_eq!(entry_site(&vec![0x90; LONGEST_BODY + 1], start), Err(refused));
}

#[test]
fn a_body_at_the_end_of_the_address_space_is_refused() {
    let start = LinkAddr(u64::MAX - 1);
    assert_eq!(entry_site(&[0x90; 4], start), Err(SiteError::Undecodable { start, address: start }));
}

#[test]
fn a_branch_into_an_instruction_is_refused() {
    let code = Listing::parse("1000: eb 01  jmp 1003\n1002: b8 c3 00 00 00  mov $0xc3,%eax\n1007: c3  ret\n");
    let refused = SiteError::BranchIntoInstruction { from: LinkAddr(0x1000), target: LinkAddr(0x1003) };
    assert_eq!(code.returns(), Err(refused));
}

#[test]
fn a_function_that_never_returns_has_no_return_sites() {
    let code = Listing::parse("1000: 90  nop\n1001: eb fd  jmp 1000\n");
    assert_eq!(code.returns(), Err(SiteError::NoReturn(LinkAddr(0x1000))));
}

#[test]
fn a_far_return_is_no_return_that_a_probe_would_see() {
    let code = Listing::parse("1000: c3  ret\n1001: ca d1 d1  lret $0xd1d1\n");
    let refused = SiteError::ForeignReturn { start: LinkAddr(0x1000), address: LinkAddr(0x1001) };
    assert_eq!(code.returns(), Err(refused));
}

#[test]
fn a_return_with_a_prefix_is_not_what_go_writes() {
    let code = Listing::parse("1000: c3  ret\n1001: 4c c3  rex.WR ret\n");
    let refused = SiteError::ForeignReturn { start: LinkAddr(0x1000), address: LinkAddr(0x1001) };
    assert_eq!(code.returns(), Err(refused));
}

#[test]
fn instructions_are_classed_as_the_kernel_treats_them() {
    let emulated: &[&[u8]] = &[
        &[0x55],                      // push %rbp
        &[0x41, 0x54],                // push %r12
        &[0x90],                      // nop
        &[0xeb, 0x00],                // jmp, short
        &[0xe9, 0, 0, 0, 0],          // jmp, near
        &[0xe8, 0, 0, 0, 0],          // call
        &[0x76, 0x10],                // jbe, short
        &[0x0f, 0x86, 0x10, 0, 0, 0], // jbe, near
    ];
    let stepped: &[&[u8]] = &[
        &[0x48, 0x55],                   // push %rbp with a prefix that does nothing
        &[0x0f, 0x1f, 0x44, 0x00, 0x00], // a five-byte nop, emulated by the newest kernels alone
        &[0x49, 0x3b, 0x66, 0x10],       // cmp 0x10(%r14),%rsp
        &[0xc3],                         // ret
        &[0x48, 0x8b, 0x05, 0, 0, 0, 0], // mov 0(%rip),%rax
        &[0xe3, 0x00],                   // jrcxz
    ];
    let refused: &[&[u8]] = &[
        &[0xf0, 0x0f, 0xb1, 0x11],             // lock cmpxchg %edx,(%rcx)
        &[0x66, 0x90],                         // xchg %ax,%ax
        &[0x2e, 0x0f, 0x1f, 0x00],             // nop with %cs:
        &[0xf3, 0x48, 0xab],                   // rep stos
        &[0xc5, 0xf8, 0x77],                   // vzeroupper
        &[0x62, 0xf1, 0xfe, 0x48, 0x6f, 0x00], // vmovdqu64 (%rax),%zmm0
        &[0x0f, 0x0b],                         // ud2
        &[0x0f, 0x05],                         // syscall
        &[0xcc],                               // int3
        &[0xf4],                               // hlt
        &[0x8e, 0xd0],                         // mov %eax,%ss
        &[0x66],                               // no instruction
    ];
    for bytes in emulated {
        assert_eq!(kernel_class(bytes), Some(SiteClass::Emulated), "{bytes:02x?}");
    }
    for bytes in stepped {
        assert_eq!(kernel_class(bytes), Some(SiteClass::SingleStepped), "{bytes:02x?}");
    }
    for bytes in refused {
        assert_eq!(kernel_class(bytes), None, "{bytes:02x?}");
    }
}

/// Bytes, of which many are the beginnings of real prologues, so that the deeper paths are reached.
fn code_like() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::collection::vec(any::<u8>(), 1..8),
        Just(vec![0x49, 0x3b, 0x66, 0x10]),
        Just(vec![0x4c, 0x8d, 0x64, 0x24, 0xf8]),
        Just(vec![0x4d, 0x3b, 0x66, 0x10]),
        Just(vec![0x49, 0x89, 0xe4]),
        Just(vec![0x49, 0x81, 0xec, 0, 0, 1, 0]),
        (any::<u8>(), any::<i8>()).prop_map(|(condition, to)| vec![0x70 | condition & 0xf, to as u8]),
        any::<i8>().prop_map(|to| vec![0xeb, to as u8]),
        Just(vec![0xe8, 0, 0, 0, 0]),
        Just(vec![0x55]),
        Just(vec![0x90]),
        Just(vec![0xc3]),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

#[test]
fn a_result_is_taken_where_the_kernel_emulates_the_last_branch_before_the_return() {
    for (end, address, instruction) in
        [(NEWPROC1_END_1_27, 0x44f200, "jne 0x44f214"), (NEWPROC1_END_1_18, 0x436a3a, "jne 0x436a4e")]
    {
        let end = Listing::parse(end);
        let sites = result_sites(&end.code, end.start).unwrap();
        assert_eq!(sites, [Site { point: SitePoint::Result, ..emulated(address, instruction) }]);
    }
}

#[test]
fn a_result_that_comes_late_or_a_return_that_is_jumped_to_is_taken_at_the_return() {
    let of = |text| {
        let code = Listing::parse(text);
        let sites = result_sites(&code.code, code.start).unwrap();
        sites.into_iter().map(|site| (site.address.0, site.point)).collect::<Vec<_>>()
    };
    // RAX is written behind the branch, in whole or in part.
    let late =
        "1000: 74 02  je 1004\n1002: 66 90  xchg %ax,%ax\n1004: 48 89 c8  mov %rcx,%rax\n1007: c3  ret\n";
    assert_eq!(of(late), [(0x1007, SitePoint::Return)]);
    let low = "1000: 74 02  je 1004\n1002: 89 ca  mov %ecx,%edx\n1004: b0 01  mov $0x1,%al\n1006: c3  ret\n";
    assert_eq!(of(low), [(0x1006, SitePoint::Return)]);
    // Another branch goes past the second one.
    let past = "1000: 75 04  jne 1006\n1002: 74 02  je 1006\n1004: 89 ca  mov %ecx,%edx\n1006: c3  ret\n";
    assert_eq!(of(past), [(0x1000, SitePoint::Result)]);
    // And one that goes to the return of the other.
    let across = "1000: 75 05  jne 1007\n1002: 74 01  je 1005\n1004: 90  nop\n1005: c3  ret\n1006: 90  nop\n1007: c3  ret\n";
    assert_eq!(of(across), [(0x1002, SitePoint::Result), (0x1007, SitePoint::Return)]);
}

/// One way through a body, by whether each branch on it is taken: the instructions that were run, if it came to a `RET`.
fn way(body: &Body<'_>, mut taken: impl Iterator<Item = bool>) -> Option<Vec<u64>> {
    let (mut index, mut run) = (0, Vec::new());
    loop {
        let instruction = body.instructions.get(index)?;
        run.push(instruction.ip());
        match instruction.flow_control() {
            FlowControl::Return => return Some(run),
            FlowControl::Next | FlowControl::Call => index += 1,
            FlowControl::ConditionalBranch if !taken.next()? => index += 1,
            FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch => {
                taken.next()?;
                index = body.index_of(jump_target(instruction)?)?;
            }
            _ => return None,
        }
    }
}

proptest! {
    #[test]
    fn each_way_to_a_return_passes_its_site_once_and_no_other(
        code in code_like(),
        taken in prop::collection::vec(any::<bool>(), 0..40),
    ) {
        let start = LinkAddr(0x1000);
        let (Ok(sites), Ok(body)) = (result_sites(&code, start), Body::decode(&code, start)) else { return Ok(()) };
        let Some(run) = way(&body, taken.into_iter()) else { return Ok(()) };
        let passed = run.iter().filter(|ip| sites.iter().any(|site| site.address.0 == **ip)).count();
        prop_assert_eq!(passed, 1, "{:x?} of {:x?}", run, sites);
    }

    #[test]
    fn a_site_is_always_an_instruction_of_the_body(code in code_like(), start in any::<u64>()) {
        let start = LinkAddr(start);
        let boundaries: Vec<u64> =
            Decoder::with_ip(64, &code, start.0, DecoderOptions::NONE).iter().map(|i| i.ip()).collect();
        let sites = entry_site(&code, start).into_iter().chain(return_sites(&code, start).into_iter().flatten());
        for site in sites {
            prop_assert!(boundaries.contains(&site.address.0), "{site:?}");
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(code in prop::collection::vec(any::<u8>(), 0..200), start in any::<u64>()) {
        let _ = entry_site(&code, LinkAddr(start));
        let _ = return_sites(&code, LinkAddr(start));
        let _ = result_sites(&code, LinkAddr(start));
        let _ = kernel_class(&code);
    }
}
