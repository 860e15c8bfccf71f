//! Listings of the functions that tell, as `objdump -dw` prints them, and what else can be in such a function.

use super::*;
use crate::binary::listing::Listing;
use proptest::prelude::*;

/// `runtime.allgadd`, go1.27.4. Its `allgs` is at 0x625f50, `allgptr` at 0x625b50, `allglen` at 0x646488.
const ALLGADD_1_27: &str = "
44e1a0: 49 3b 66 10  cmp 0x10(%r14),%rsp
44e1a4: 0f 86 3c 01 00 00  jbe 44e2e6 <runtime.allgadd+0x146>
44e1aa: 55  push %rbp
44e1ab: 48 89 e5  mov %rsp,%rbp
44e1ae: 48 83 ec 48  sub $0x48,%rsp
44e1b2: 8b 88 90 00 00 00  mov 0x90(%rax),%ecx
44e1b8: 0f 1f 84 00 00 00 00 00  nopl 0x0(%rax,%rax,1)
44e1c0: 85 c9  test %ecx,%ecx
44e1c2: 0f 84 08 01 00 00  je 44e2d0 <runtime.allgadd+0x130>
44e1c8: 48 89 44 24 58  mov %rax,0x58(%rsp)
44e1cd: 90  nop
44e1ce: 90  nop
44e1cf: 48 8d 05 aa 82 1f 00  lea 0x1f82aa(%rip),%rax
44e1d6: e8 05 e4 fc ff  call 41c5e0 <runtime.lock2>
44e1db: 48 8b 0d 7e 7d 1d 00  mov 0x1d7d7e(%rip),%rcx
44e1e2: 48 8b 1d 6f 7d 1d 00  mov 0x1d7d6f(%rip),%rbx
44e1e9: 48 ff c3  inc %rbx
44e1ec: 48 8b 05 5d 7d 1d 00  mov 0x1d7d5d(%rip),%rax
44e1f3: 48 39 d9  cmp %rbx,%rcx
44e1f6: 73 3b  jae 44e233 <runtime.allgadd+0x93>
44e1f8: bf 01 00 00 00  mov $0x1,%edi
44e1fd: 48 8d 35 cc 96 19 00  lea 0x1996cc(%rip),%rsi
44e204: e8 57 65 03 00  call 484760 <runtime.growslice>
44e209: 48 89 0d 50 7d 1d 00  mov %rcx,0x1d7d50(%rip)
44e210: 83 3d 29 84 1f 00 00  cmpl $0x0,0x1f8429(%rip)
44e217: 74 13  je 44e22c <runtime.allgadd+0x8c>
44e219: 48 8b 0d 30 7d 1d 00  mov 0x1d7d30(%rip),%rcx
44e220: e8 db aa 03 00  call 488d00 <runtime.gcWriteBarrier2>
44e225: 49 89 03  mov %rax,(%r11)
44e228: 49 89 4b 08  mov %rcx,0x8(%r11)
44e22c: 48 89 05 1d 7d 1d 00  mov %rax,0x1d7d1d(%rip)
44e233: 48 89 1d 1e 7d 1d 00  mov %rbx,0x1d7d1e(%rip)
44e23a: 83 3d ff 83 1f 00 00  cmpl $0x0,0x1f83ff(%rip)
44e241: 75 07  jne 44e24a <runtime.allgadd+0xaa>
44e243: 48 8b 54 24 58  mov 0x58(%rsp),%rdx
44e248: eb 16  jmp 44e260 <runtime.allgadd+0xc0>
44e24a: 48 8b 4c d8 f8  mov -0x8(%rax,%rbx,8),%rcx
44e24f: e8 ac aa 03 00  call 488d00 <runtime.gcWriteBarrier2>
44e254: 48 8b 54 24 58  mov 0x58(%rsp),%rdx
44e259: 49 89 13  mov %rdx,(%r11)
44e25c: 49 89 4b 08  mov %rcx,0x8(%r11)
44e260: 48 89 54 d8 f8  mov %rdx,-0x8(%rax,%rbx,8)
44e265: 48 85 db  test %rbx,%rbx
44e268: 76 61  jbe 44e2cb <runtime.allgadd+0x12b>
44e26a: 48 8b 1d df 7c 1d 00  mov 0x1d7cdf(%rip),%rbx
44e271: 48 39 1d d8 78 1d 00  cmp %rbx,0x1d78d8(%rip)
44e278: 74 2a  je 44e2a4 <runtime.allgadd+0x104>
44e27a: 90  nop
44e27b: 80 3d be 83 1f 00 00  cmpb $0x0,0x1f83be(%rip)
44e282: 74 16  je 44e29a <runtime.allgadd+0xfa>
44e284: 48 89 5c 24 40  mov %rbx,0x40(%rsp)
44e289: 48 8d 05 c0 78 1d 00  lea 0x1d78c0(%rip),%rax
44e290: e8 6b 20 03 00  call 480300 <runtime.atomicwb>
44e295: 48 8b 5c 24 40  mov 0x40(%rsp),%rbx
44e29a: 48 8d 0d af 78 1d 00  lea 0x1d78af(%rip),%rcx
44e2a1: 48 87 19  xchg %rbx,(%rcx)
44e2a4: 48 8b 0d ad 7c 1d 00  mov 0x1d7cad(%rip),%rcx
44e2ab: 48 8d 15 d6 81 1f 00  lea 0x1f81d6(%rip),%rdx
44e2b2: 48 87 0a  xchg %rcx,(%rdx)
44e2b5: 90  nop
44e2b6: 90  nop
44e2b7: 48 8d 05 c2 81 1f 00  lea 0x1f81c2(%rip),%rax
44e2be: 66 90  xchg %ax,%ax
44e2c0: e8 9b e7 fc ff  call 41ca60 <runtime.unlock2>
44e2c5: 48 83 c4 48  add $0x48,%rsp
44e2c9: 5d  pop %rbp
44e2ca: c3  ret
44e2cb: e8 d0 ad 03 00  call 4890a0 <runtime.panicBounds>
44e2d0: 48 8d 05 77 07 0a 00  lea 0xa0777(%rip),%rax
44e2d7: bb 19 00 00 00  mov $0x19,%ebx
44e2dc: 0f 1f 40 00  nopl 0x0(%rax)
44e2e0: e8 fb 46 03 00  call 4829e0 <runtime.throw>
44e2e5: 90  nop
44e2e6: 48 89 44 24 08  mov %rax,0x8(%rsp)
44e2eb: e8 10 90 03 00  call 487300 <runtime.morestack_noctxt.abi0>
44e2f0: 48 8b 44 24 08  mov 0x8(%rsp),%rax
44e2f5: e9 a6 fe ff ff  jmp 44e1a0 <runtime.allgadd>
44e2fa: cc  int3
";

/// `runtime.allgadd`, go1.18.10. Its `allgs` is at 0x5ac230, `allgptr` at 0x5aba48, `allglen` at 0x5daf50.
const ALLGADD_1_18: &str = "
4368c0: 49 3b 66 10  cmp 0x10(%r14),%rsp
4368c4: 0f 86 3e 01 00 00  jbe 436a08 <runtime.allgadd+0x148>
4368ca: 48 83 ec 50  sub $0x50,%rsp
4368ce: 48 89 6c 24 48  mov %rbp,0x48(%rsp)
4368d3: 48 8d 6c 24 48  lea 0x48(%rsp),%rbp
4368d8: 8b 88 90 00 00 00  mov 0x90(%rax),%ecx
4368de: 66 90  xchg %ax,%ax
4368e0: 85 c9  test %ecx,%ecx
4368e2: 0f 84 0e 01 00 00  je 4369f6 <runtime.allgadd+0x136>
4368e8: 48 89 44 24 58  mov %rax,0x58(%rsp)
4368ed: 90  nop
4368ee: 90  nop
4368ef: 48 8d 05 62 46 1a 00  lea 0x1a4662(%rip),%rax
4368f6: e8 25 52 fd ff  call 40bb20 <runtime.lock2>
4368fb: 48 8b 0d 36 59 17 00  mov 0x175936(%rip),%rcx
436902: 48 8d 71 01  lea 0x1(%rcx),%rsi
436906: 48 8b 1d 23 59 17 00  mov 0x175923(%rip),%rbx
43690d: 48 8b 3d 2c 59 17 00  mov 0x17592c(%rip),%rdi
436914: 48 39 f7  cmp %rsi,%rdi
436917: 73 37  jae 436950 <runtime.allgadd+0x90>
436919: 48 8d 05 e0 63 09 00  lea 0x963e0(%rip),%rax
436920: e8 3b 30 01 00  call 449960 <runtime.growslice>
436925: 48 89 0d 14 59 17 00  mov %rcx,0x175914(%rip)
43692c: 83 3d 9d 48 1a 00 00  cmpl $0x0,0x1a489d(%rip)
436933: 75 09  jne 43693e <runtime.allgadd+0x7e>
436935: 48 89 05 f4 58 17 00  mov %rax,0x1758f4(%rip)
43693c: eb 0c  jmp 43694a <runtime.allgadd+0x8a>
43693e: 48 8d 3d eb 58 17 00  lea 0x1758eb(%rip),%rdi
436945: e8 36 a5 02 00  call 460e80 <runtime.gcWriteBarrier>
43694a: 48 89 d9  mov %rbx,%rcx
43694d: 48 89 c3  mov %rax,%rbx
436950: 48 8d 51 01  lea 0x1(%rcx),%rdx
436954: 48 89 15 dd 58 17 00  mov %rdx,0x1758dd(%rip)
43695b: 48 8d 3c cb  lea (%rbx,%rcx,8),%rdi
43695f: 83 3d 6a 48 1a 00 00  cmpl $0x0,0x1a486a(%rip)
436966: 75 0b  jne 436973 <runtime.allgadd+0xb3>
436968: 48 8b 54 24 58  mov 0x58(%rsp),%rdx
43696d: 48 89 14 cb  mov %rdx,(%rbx,%rcx,8)
436971: eb 0a  jmp 43697d <runtime.allgadd+0xbd>
436973: 48 8b 54 24 58  mov 0x58(%rsp),%rdx
436978: e8 23 a6 02 00  call 460fa0 <runtime.gcWriteBarrierDX>
43697d: 48 8b 1d ac 58 17 00  mov 0x1758ac(%rip),%rbx
436984: 48 8b 0d ad 58 17 00  mov 0x1758ad(%rip),%rcx
43698b: 48 85 c9  test %rcx,%rcx
43698e: 76 5f  jbe 4369ef <runtime.allgadd+0x12f>
436990: 48 39 1d b1 50 17 00  cmp %rbx,0x1750b1(%rip)
436997: 74 2a  je 4369c3 <runtime.allgadd+0x103>
436999: 90  nop
43699a: 80 3d 2f 48 1a 00 00  cmpb $0x0,0x1a482f(%rip)
4369a1: 74 16  je 4369b9 <runtime.allgadd+0xf9>
4369a3: 48 89 5c 24 40  mov %rbx,0x40(%rsp)
4369a8: 48 8d 05 99 50 17 00  lea 0x175099(%rip),%rax
4369af: e8 6c d0 fc ff  call 403a20 <runtime.atomicwb>
4369b4: 48 8b 5c 24 40  mov 0x40(%rsp),%rbx
4369b9: 48 8d 0d 88 50 17 00  lea 0x175088(%rip),%rcx
4369c0: 48 87 19  xchg %rbx,(%rcx)
4369c3: 48 8b 0d 6e 58 17 00  mov 0x17586e(%rip),%rcx
4369ca: 48 8d 15 7f 45 1a 00  lea 0x1a457f(%rip),%rdx
4369d1: 48 87 0a  xchg %rcx,(%rdx)
4369d4: 90  nop
4369d5: 90  nop
4369d6: 48 8d 05 7b 45 1a 00  lea 0x1a457b(%rip),%rax
4369dd: 0f 1f 00  nopl (%rax)
4369e0: e8 1b 53 fd ff  call 40bd00 <runtime.unlock2>
4369e5: 48 8b 6c 24 48  mov 0x48(%rsp),%rbp
4369ea: 48 83 c4 50  add $0x50,%rsp
4369ee: c3  ret
4369ef: 31 c0  xor %eax,%eax
4369f1: e8 2a a9 02 00  call 461320 <runtime.panicIndex>
4369f6: 48 8d 05 07 94 0b 00  lea 0xb9407(%rip),%rax
4369fd: bb 19 00 00 00  mov $0x19,%ebx
436a02: e8 99 ca ff ff  call 4334a0 <runtime.throw>
436a07: 90  nop
436a08: 48 89 44 24 08  mov %rax,0x8(%rsp)
436a0d: e8 6e 83 02 00  call 45ed80 <runtime.morestack_noctxt.abi0>
436a12: 48 8b 44 24 08  mov 0x8(%rsp),%rax
436a17: e9 a4 fe ff ff  jmp 4368c0 <runtime.allgadd>
436a1c: cc  int3
";

/// `runtime.preemptall`, go1.27.4. Its `allp` is at 0x626030.
const PREEMPTALL_1_27: &str = "
45a0c0: 49 3b 66 10  cmp 0x10(%r14),%rsp
45a0c4: 76 66  jbe 45a12c <runtime.preemptall+0x6c>
45a0c6: 55  push %rbp
45a0c7: 48 89 e5  mov %rsp,%rbp
45a0ca: 48 83 ec 28  sub $0x28,%rsp
45a0ce: 48 8b 0d 5b bf 1c 00  mov 0x1cbf5b(%rip),%rcx
45a0d5: 48 89 4c 24 20  mov %rcx,0x20(%rsp)
45a0da: 48 8b 15 57 bf 1c 00  mov 0x1cbf57(%rip),%rdx
45a0e1: 48 89 54 24 18  mov %rdx,0x18(%rsp)
45a0e6: 31 db  xor %ebx,%ebx
45a0e8: 31 f6  xor %esi,%esi
45a0ea: eb 03  jmp 45a0ef <runtime.preemptall+0x2f>
45a0ec: 48 ff c6  inc %rsi
45a0ef: 48 39 d6  cmp %rdx,%rsi
45a0f2: 7d 30  jge 45a124 <runtime.preemptall+0x64>
45a0f4: 48 8b 04 f1  mov (%rcx,%rsi,8),%rax
45a0f8: 83 78 04 01  cmpl $0x1,0x4(%rax)
45a0fc: 75 ee  jne 45a0ec <runtime.preemptall+0x2c>
45a0fe: 48 89 74 24 10  mov %rsi,0x10(%rsp)
45a103: 88 5c 24 0f  mov %bl,0xf(%rsp)
45a107: e8 34 00 00 00  call 45a140 <runtime.preemptone>
45a10c: 0f b6 5c 24 0f  movzbl 0xf(%rsp),%ebx
45a111: 09 c3  or %eax,%ebx
45a113: 48 8b 4c 24 20  mov 0x20(%rsp),%rcx
45a118: 48 8b 54 24 18  mov 0x18(%rsp),%rdx
45a11d: 48 8b 74 24 10  mov 0x10(%rsp),%rsi
45a122: eb c8  jmp 45a0ec <runtime.preemptall+0x2c>
45a124: 89 d8  mov %ebx,%eax
45a126: 48 83 c4 28  add $0x28,%rsp
45a12a: 5d  pop %rbp
45a12b: c3  ret
45a12c: e8 cf d1 02 00  call 487300 <runtime.morestack_noctxt.abi0>
45a131: eb 8d  jmp 45a0c0 <runtime.preemptall>
45a133: cc  int3
";

/// Part of `runtime.mcommoninit`, go1.27.4. Its `allm` is at 0x625b80.
const MCOMMONINIT_1_27: &str = "
44ed92: 48 8d 05 e7 6d 1d 00  lea 0x1d6de7(%rip),%rax
44ed99: e8 62 15 03 00  call 480300 <runtime.atomicwb>
44ed9e: 48 8b 5c 24 48  mov 0x48(%rsp),%rbx
44eda3: 48 8d 0d d6 6d 1d 00  lea 0x1d6dd6(%rip),%rcx
44edaa: 48 87 19  xchg %rbx,(%rcx)
44edad: 90  nop
44edae: 90  nop
44edaf: 48 8d 05 ea 8e 1d 00  lea 0x1d8eea(%rip),%rax
";

/// Part of `runtime.newproc1`, go1.27.4. Its `sched` is at 0x627c80; two other sums are added to before.
const NEWPROC1_1_27: &str = "
456bb6: 90  nop
456bb7: 48 8d 3d 2a 06 1f 00  lea 0x1f062a(%rip),%rdi
456bbe: f0 4c 0f c1 17  lock xadd %r10,(%rdi)
456bc3: 49 c7 80 b8 35 00 00 00 00 00 00  movq $0x0,0x35b8(%r8)
456bce: eb 0d  jmp 456bdd <runtime.newproc1+0x2dd>
456bd0: 90  nop
456bd1: 4c 8d 0d 10 06 1f 00  lea 0x1f0610(%rip),%r9
456bd8: f0 49 0f c1 39  lock xadd %rdi,(%r9)
456bdd: 80 3d 0c 09 1d 00 00  cmpb $0x0,0x1d090c(%rip)
456be4: 75 06  jne 456bec <runtime.newproc1+0x2ec>
456be6: 31 db  xor %ebx,%ebx
456be8: 31 c9  xor %ecx,%ecx
456bea: eb 1c  jmp 456c08 <runtime.newproc1+0x308>
456bec: e8 6f b9 01 00  call 472560 <runtime.traceAcquireEnabled>
456bf1: 48 8b 54 24 68  mov 0x68(%rsp),%rdx
456bf6: 48 8b 74 24 38  mov 0x38(%rsp),%rsi
456bfb: 4c 8b 44 24 48  mov 0x48(%rsp),%r8
456c00: 48 89 c1  mov %rax,%rcx
456c03: 48 8b 44 24 40  mov 0x40(%rsp),%rax
456c08: 0f b6 7c 24 78  movzbl 0x78(%rsp),%edi
456c0d: 40 84 ff  test %dil,%dil
456c10: 74 15  je 456c27 <runtime.newproc1+0x327>
456c12: 44 0f b6 4c 24 79  movzbl 0x79(%rsp),%r9d
456c18: 44 88 88 b0 00 00 00  mov %r9b,0xb0(%rax)
456c1f: 41 b9 04 00 00 00  mov $0x4,%r9d
456c25: eb 06  jmp 456c2d <runtime.newproc1+0x32d>
456c27: 41 b9 01 00 00 00  mov $0x1,%r9d
456c2d: 48 89 5c 24 28  mov %rbx,0x28(%rsp)
456c32: 48 89 4c 24 30  mov %rcx,0x30(%rsp)
456c37: 4d 8b 90 80 01 00 00  mov 0x180(%r8),%r10
456c3e: 66 90  xchg %ax,%ax
456c40: 4d 39 90 88 01 00 00  cmp %r10,0x188(%r8)
456c47: 75 29  jne 456c72 <runtime.newproc1+0x372>
456c49: 90  nop
456c4a: 41 ba 10 00 00 00  mov $0x10,%r10d
456c50: 4c 8d 1d 29 10 1d 00  lea 0x1d1029(%rip),%r11
456c57: f0 4d 0f c1 13  lock xadd %r10,(%r11)
456c5c: 4d 8d 5a 01  lea 0x1(%r10),%r11
";

/// `runtime.waitReason.String`, go1.27.4. Its `waitReasonStrings` is at 0x6221e0 and has 47 texts.
const WAIT_REASON_STRING_1_27: &str = "
45e8a0: 3c 2f  cmp $0x2f,%al
45e8a2: 72 0d  jb 45e8b1 <runtime.waitReason.String+0x11>
45e8a4: 48 8d 05 9d e7 08 00  lea 0x8e79d(%rip),%rax
45e8ab: bb 13 00 00 00  mov $0x13,%ebx
45e8b0: c3  ret
45e8b1: 0f b6 c8  movzbl %al,%ecx
45e8b4: 48 c1 e1 04  shl $0x4,%rcx
45e8b8: 48 8d 15 21 39 1c 00  lea 0x1c3921(%rip),%rdx
45e8bf: 48 8b 04 0a  mov (%rdx,%rcx,1),%rax
45e8c3: 48 8b 5c 0a 08  mov 0x8(%rdx,%rcx,1),%rbx
45e8c8: c3  ret
45e8c9: cc  int3
";

fn find_in(global: Global, functions: &[(&str, &str)]) -> Result<LinkAddr, GlobalError> {
    let listings: Vec<(&str, Listing)> =
        functions.iter().map(|(name, listing)| (*name, Listing::parse(listing))).collect();
    find(global, &|name| {
        let (_, listing) = listings.iter().find(|(known, _)| *known == name)?;
        Some((listing.start, &listing.code))
    })
}

#[test]
fn the_slice_the_length_and_the_pointer_are_told_apart_in_allgadd() {
    let new = [("runtime.allgadd", ALLGADD_1_27)];
    assert_eq!(find_in(Global::Allgs, &new), Ok(LinkAddr(0x625f50)));
    assert_eq!(find_in(Global::Allgptr, &new), Ok(LinkAddr(0x625b50)));
    assert_eq!(find_in(Global::Allglen, &new), Ok(LinkAddr(0x646488)));

    let old = [("runtime.allgadd", ALLGADD_1_18)];
    assert_eq!(find_in(Global::Allgs, &old), Ok(LinkAddr(0x5ac230)));
    assert_eq!(find_in(Global::Allgptr, &old), Ok(LinkAddr(0x5aba48)));
    assert_eq!(find_in(Global::Allglen, &old), Ok(LinkAddr(0x5daf50)));
}

#[test]
fn the_processors_are_what_preemptall_ranges_over() {
    assert_eq!(find_in(Global::Allp, &[("runtime.preemptall", PREEMPTALL_1_27)]), Ok(LinkAddr(0x626030)));
}

#[test]
fn the_threads_are_what_mcommoninit_stores_to() {
    assert_eq!(find_in(Global::Allm, &[("runtime.mcommoninit", MCOMMONINIT_1_27)]), Ok(LinkAddr(0x625b80)));
}

#[test]
fn the_scheduler_is_where_a_batch_of_goroutine_ids_is_taken() {
    assert_eq!(find_in(Global::Sched, &[("runtime.newproc1", NEWPROC1_1_27)]), Ok(LinkAddr(0x627c80)));
}

#[test]
fn the_wait_reasons_are_the_strings_that_are_indexed() {
    let functions = [("runtime.waitReason.String", WAIT_REASON_STRING_1_27)];
    assert_eq!(find_in(Global::WaitReasonStrings, &functions), Ok(LinkAddr(0x6221e0)));
    let listing = Listing::parse(WAIT_REASON_STRING_1_27);
    assert_eq!(wait_reason_count(&|_| Some((listing.start, &listing.code))), Some(47));
    assert_eq!(wait_reason_count(&|_| None), None);
}

#[test]
fn the_semaphores_are_what_waiter_and_waker_both_take() {
    let acquire = "1000: 48 8d 05 f9 0f 00 00  lea 0xff9(%rip),%rax\n1007: 48 8d 05 f2 1f 00 00  lea 0x1ff2(%rip),%rax\n";
    let release = "1800: 48 8d 15 f9 17 00 00  lea 0x17f9(%rip),%rdx\n1807: 48 8d 05 f2 2f 00 00  lea 0x2ff2(%rip),%rax\n";
    let functions = [("runtime.semacquire1", acquire), ("runtime.semrelease1", release)];
    assert_eq!(find_in(Global::Semtable, &functions), Ok(LinkAddr(0x3000)));
}

#[test]
fn two_addresses_that_fit_are_refused() {
    let twice = [
        "1000: 48 8b 05 f9 0f 00 00  mov 0x2000,%rax\n",
        "1007: 48 8b 05 fa 0f 00 00  mov 0x2008,%rax\n",
        "100e: 48 8b 05 eb 1f 00 00  mov 0x3000,%rax\n",
        "1015: 48 8b 05 ec 1f 00 00  mov 0x3008,%rax\n",
    ];
    let refused = GlobalError::Ambiguous {
        global: Global::Allp,
        function: "runtime.preemptall",
        candidates: vec![LinkAddr(0x2000), LinkAddr(0x3000)],
    };
    assert_eq!(find_in(Global::Allp, &[("runtime.preemptall", &twice.concat())]), Err(refused.clone()));
    assert_eq!(
        refused.to_string(),
        "runtime.preemptall uses 2 addresses as it would use runtime.allp: 0x2000, 0x3000"
    );
}

#[test]
fn a_function_that_does_not_use_the_variable_is_named() {
    let refused = GlobalError::NotFound { global: Global::Sched, function: "runtime.newproc1" };
    assert_eq!(find_in(Global::Sched, &[("runtime.newproc1", MCOMMONINIT_1_27)]), Err(refused));
}

#[test]
fn a_function_that_is_missing_is_named() {
    let refused = GlobalError::NoFunction { global: Global::Semtable, function: "runtime.semrelease1" };
    assert_eq!(find_in(Global::Semtable, &[("runtime.semacquire1", MCOMMONINIT_1_27)]), Err(refused));
}

proptest! {
    #[test]
    fn arbitrary_code_never_panics(code in prop::collection::vec(any::<u8>(), 0..300), start in any::<u64>()) {
        for global in Global::ALL {
            let _ = find(global, &|_| Some((LinkAddr(start), &code)));
        }
    }
}
