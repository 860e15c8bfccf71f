//! Disassembled function bodies for the tests of [`super`], as `objdump -dw` prints them: the listing is the fixture.
//! Each names the function and the toolchain (`go build`, amd64) it comes from; of the trailing padding one byte is kept.

/// `runtime.goexit0`, go1.27.4.
pub(super) const GOEXIT0_1_27: &str = "
455b00: 49 3b 66 10  cmp 0x10(%r14),%rsp
455b04: 76 18  jbe 455b1e <runtime.goexit0+0x1e>
455b06: 55  push %rbp
455b07: 48 89 e5  mov %rsp,%rbp
455b0a: 48 83 ec 08  sub $0x8,%rsp
455b0e: e8 2d 00 00 00  call 455b40 <runtime.gdestroy>
455b13: e8 88 f1 ff ff  call 454ca0 <runtime.schedule>
455b18: 48 83 c4 08  add $0x8,%rsp
455b1c: 5d  pop %rbp
455b1d: c3  ret
455b1e: 48 89 44 24 08  mov %rax,0x8(%rsp)
455b23: e8 d8 17 03 00  call 487300 <runtime.morestack_noctxt.abi0>
455b28: 48 8b 44 24 08  mov 0x8(%rsp),%rax
455b2d: eb d1  jmp 455b00 <runtime.goexit0>
455b2f: cc  int3
";

/// `sync.(*RWMutex).Lock`, go1.20.14.
pub(super) const RWMUTEX_LOCK_1_20: &str = "
4708a0: 49 3b 66 10  cmp 0x10(%r14),%rsp
4708a4: 76 75  jbe 47091b <sync.(*RWMutex).Lock+0x7b>
4708a6: 48 83 ec 28  sub $0x28,%rsp
4708aa: 48 89 6c 24 20  mov %rbp,0x20(%rsp)
4708af: 48 8d 6c 24 20  lea 0x20(%rsp),%rbp
4708b4: 48 89 c1  mov %rax,%rcx
4708b7: 31 c0  xor %eax,%eax
4708b9: ba 01 00 00 00  mov $0x1,%edx
4708be: f0 0f b1 11  lock cmpxchg %edx,(%rcx)
4708c2: 0f 94 c2  sete %dl
4708c5: 84 d2  test %dl,%dl
4708c7: 75 12  jne 4708db <sync.(*RWMutex).Lock+0x3b>
4708c9: 48 89 4c 24 18  mov %rcx,0x18(%rsp)
4708ce: 48 89 c8  mov %rcx,%rax
4708d1: e8 4a e9 ff ff  call 46f220 <sync.(*Mutex).lockSlow>
4708d6: 48 8b 4c 24 18  mov 0x18(%rsp),%rcx
4708db: 90  nop
4708dc: ba 00 00 00 c0  mov $0xc0000000,%edx
4708e1: f0 0f c1 51 10  lock xadd %edx,0x10(%rcx)
4708e6: 8d b2 00 00 00 c0  lea -0x40000000(%rdx),%esi
4708ec: 81 fe 00 00 00 c0  cmp $0xc0000000,%esi
4708f2: 74 1d  je 470911 <sync.(*RWMutex).Lock+0x71>
4708f4: 89 d6  mov %edx,%esi
4708f6: f0 0f c1 51 14  lock xadd %edx,0x14(%rcx)
4708fb: 8d 14 16  lea (%rsi,%rdx,1),%edx
4708fe: 66 90  xchg %ax,%ax
470900: 85 d2  test %edx,%edx
470902: 74 0d  je 470911 <sync.(*RWMutex).Lock+0x71>
470904: 48 8d 41 08  lea 0x8(%rcx),%rax
470908: 31 db  xor %ebx,%ebx
47090a: 31 c9  xor %ecx,%ecx
47090c: e8 8f 01 ff ff  call 460aa0 <sync.runtime_SemacquireRWMutex>
470911: 48 8b 6c 24 20  mov 0x20(%rsp),%rbp
470916: 48 83 c4 28  add $0x28,%rsp
47091a: c3  ret
47091b: 48 89 44 24 08  mov %rax,0x8(%rsp)
470920: e8 5b 18 ff ff  call 462180 <runtime.morestack_noctxt.abi0>
470925: 48 8b 44 24 08  mov 0x8(%rsp),%rax
47092a: e9 71 ff ff ff  jmp 4708a0 <sync.(*RWMutex).Lock>
47092f: cc  int3
";

/// `runtime.vdsoauxv`, go1.27.4.
pub(super) const VDSOAUXV_1_27: &str = "
4791c0: 4c 8d 64 24 f8  lea -0x8(%rsp),%r12
4791c5: 4d 3b 66 10  cmp 0x10(%r14),%r12
4791c9: 76 6a  jbe 479235 <runtime.vdsoauxv+0x75>
4791cb: 55  push %rbp
4791cc: 48 89 e5  mov %rsp,%rbp
4791cf: 48 83 c4 80  add $0xffffffffffffff80,%rsp
4791d3: 48 83 f8 21  cmp $0x21,%rax
4791d7: 75 56  jne 47922f <runtime.vdsoauxv+0x6f>
4791d9: 48 85 db  test %rbx,%rbx
4791dc: 74 4b  je 479229 <runtime.vdsoauxv+0x69>
4791de: 48 8d 44 24 10  lea 0x10(%rsp),%rax
4791e3: 44 0f 11 38  movups %xmm15,(%rax)
4791e7: 44 0f 11 78 10  movups %xmm15,0x10(%rax)
4791ec: 44 0f 11 78 20  movups %xmm15,0x20(%rax)
4791f1: 44 0f 11 78 30  movups %xmm15,0x30(%rax)
4791f6: 44 0f 11 78 40  movups %xmm15,0x40(%rax)
4791fb: 44 0f 11 78 50  movups %xmm15,0x50(%rax)
479200: 44 0f 11 78 60  movups %xmm15,0x60(%rax)
479205: e8 36 f8 ff ff  call 478a40 <runtime.vdsoInitFromSysinfoEhdr>
47920a: 48 8d 44 24 10  lea 0x10(%rsp),%rax
47920f: 48 8d 1d da 71 1a 00  lea 0x1a71da(%rip),%rbx
479216: e8 c5 fb ff ff  call 478de0 <runtime.vdsoFindVersion>
47921b: 89 c3  mov %eax,%ebx
47921d: 48 8d 44 24 10  lea 0x10(%rsp),%rax
479222: e8 b9 fc ff ff  call 478ee0 <runtime.vdsoParseSymbols>
479227: eb 06  jmp 47922f <runtime.vdsoauxv+0x6f>
479229: 48 83 ec 80  sub $0xffffffffffffff80,%rsp
47922d: 5d  pop %rbp
47922e: c3  ret
47922f: 48 83 ec 80  sub $0xffffffffffffff80,%rsp
479233: 5d  pop %rbp
479234: c3  ret
479235: 48 89 44 24 08  mov %rax,0x8(%rsp)
47923a: 48 89 5c 24 10  mov %rbx,0x10(%rsp)
47923f: 90  nop
479240: e8 bb e0 00 00  call 487300 <runtime.morestack_noctxt.abi0>
479245: 48 8b 44 24 08  mov 0x8(%rsp),%rax
47924a: 48 8b 5c 24 10  mov 0x10(%rsp),%rbx
47924f: e9 6c ff ff ff  jmp 4791c0 <runtime.vdsoauxv>
479254: cc  int3
";

/// `runtime.vdsoauxv`, go1.18.10.
pub(super) const VDSOAUXV_1_18: &str = "
45b880: 4c 8d 64 24 f8  lea -0x8(%rsp),%r12
45b885: 4d 3b 66 10  cmp 0x10(%r14),%r12
45b889: 0f 86 8d 00 00 00  jbe 45b91c <runtime.vdsoauxv+0x9c>
45b88f: 48 81 ec 88 00 00 00  sub $0x88,%rsp
45b896: 48 89 ac 24 80 00 00 00  mov %rbp,0x80(%rsp)
45b89e: 48 8d ac 24 80 00 00 00  lea 0x80(%rsp),%rbp
45b8a6: 48 83 f8 21  cmp $0x21,%rax
45b8aa: 75 60  jne 45b90c <runtime.vdsoauxv+0x8c>
45b8ac: 48 85 db  test %rbx,%rbx
45b8af: 74 4b  je 45b8fc <runtime.vdsoauxv+0x7c>
45b8b1: 48 8d 7c 24 10  lea 0x10(%rsp),%rdi
45b8b6: 48 8d 7f f0  lea -0x10(%rdi),%rdi
45b8ba: 66 0f 1f 44 00 00  nopw 0x0(%rax,%rax,1)
45b8c0: 48 89 6c 24 f0  mov %rbp,-0x10(%rsp)
45b8c5: 48 8d 6c 24 f0  lea -0x10(%rsp),%rbp
45b8ca: e8 17 5d 00 00  call 4615e6 <runtime.duffzero+0x146>
45b8cf: 48 8b 6d 00  mov 0x0(%rbp),%rbp
45b8d3: 48 8d 44 24 10  lea 0x10(%rsp),%rax
45b8d8: e8 a3 f4 ff ff  call 45ad80 <runtime.vdsoInitFromSysinfoEhdr>
45b8dd: 48 8d 44 24 10  lea 0x10(%rsp),%rax
45b8e2: 48 8d 1d 07 90 14 00  lea 0x149007(%rip),%rbx
45b8e9: e8 12 f9 ff ff  call 45b200 <runtime.vdsoFindVersion>
45b8ee: 89 c3  mov %eax,%ebx
45b8f0: 48 8d 44 24 10  lea 0x10(%rsp),%rax
45b8f5: e8 26 fa ff ff  call 45b320 <runtime.vdsoParseSymbols>
45b8fa: eb 10  jmp 45b90c <runtime.vdsoauxv+0x8c>
45b8fc: 48 8b ac 24 80 00 00 00  mov 0x80(%rsp),%rbp
45b904: 48 81 c4 88 00 00 00  add $0x88,%rsp
45b90b: c3  ret
45b90c: 48 8b ac 24 80 00 00 00  mov 0x80(%rsp),%rbp
45b914: 48 81 c4 88 00 00 00  add $0x88,%rsp
45b91b: c3  ret
45b91c: 48 89 44 24 08  mov %rax,0x8(%rsp)
45b921: 48 89 5c 24 10  mov %rbx,0x10(%rsp)
45b926: e8 55 34 00 00  call 45ed80 <runtime.morestack_noctxt.abi0>
45b92b: 48 8b 44 24 08  mov 0x8(%rsp),%rax
45b930: 48 8b 5c 24 10  mov 0x10(%rsp),%rbx
45b935: e9 46 ff ff ff  jmp 45b880 <runtime.vdsoauxv>
45b93a: cc  int3
";

/// A function with a 1 MiB array on its stack, go1.18.10.
pub(super) const HUGE_1_18: &str = "
45db20: 49 89 e4  mov %rsp,%r12
45db23: 49 81 ec a8 ff 0f 00  sub $0xfffa8,%r12
45db2a: 72 7c  jb 45dba8 <main.huge+0x88>
45db2c: 4d 3b 66 10  cmp 0x10(%r14),%r12
45db30: 76 76  jbe 45dba8 <main.huge+0x88>
45db32: 48 81 ec 28 00 10 00  sub $0x100028,%rsp
45db39: 48 89 ac 24 20 00 10 00  mov %rbp,0x100020(%rsp)
45db41: 48 8d ac 24 20 00 10 00  lea 0x100020(%rsp),%rbp
45db49: 48 89 84 24 30 00 10 00  mov %rax,0x100030(%rsp)
45db51: 48 8d 7c 24 20  lea 0x20(%rsp),%rdi
45db56: b9 00 00 02 00  mov $0x20000,%ecx
45db5b: 48 89 c2  mov %rax,%rdx
45db5e: 31 c0  xor %eax,%eax
45db60: f3 48 ab  rep stos %rax,%es:(%rdi)
45db63: 48 8d 44 24 20  lea 0x20(%rsp),%rax
45db68: bb 00 00 10 00  mov $0x100000,%ebx
45db6d: 48 89 d9  mov %rbx,%rcx
45db70: 48 89 d7  mov %rdx,%rdi
45db73: e8 48 00 00 00  call 45dbc0 <main.fill>
45db78: 48 8b 84 24 30 00 10 00  mov 0x100030(%rsp),%rax
45db80: 48 3d 00 00 10 00  cmp $0x100000,%rax
45db86: 73 15  jae 45db9d <main.huge+0x7d>
45db88: 0f b6 44 04 20  movzbl 0x20(%rsp,%rax,1),%eax
45db8d: 48 8b ac 24 20 00 10 00  mov 0x100020(%rsp),%rbp
45db95: 48 81 c4 28 00 10 00  add $0x100028,%rsp
45db9c: c3  ret
45db9d: b9 00 00 10 00  mov $0x100000,%ecx
45dba2: e8 59 98 ff ff  call 457400 <runtime.panicIndex>
45dba7: 90  nop
45dba8: 48 89 44 24 08  mov %rax,0x8(%rsp)
45dbad: e8 0e 74 ff ff  call 454fc0 <runtime.morestack_noctxt.abi0>
45dbb2: 48 8b 44 24 08  mov 0x8(%rsp),%rax
45dbb7: e9 64 ff ff ff  jmp 45db20 <main.huge>
45dbbc: cc  int3
";

/// The same, go1.21.13.
pub(super) const HUGE_1_21: &str = "
45ed20: 49 89 e4  mov %rsp,%r12
45ed23: 49 81 ec a8 ff 0f 00  sub $0xfffa8,%r12
45ed2a: 72 69  jb 45ed95 <main.huge+0x75>
45ed2c: 4d 3b 66 10  cmp 0x10(%r14),%r12
45ed30: 76 63  jbe 45ed95 <main.huge+0x75>
45ed32: 55  push %rbp
45ed33: 48 89 e5  mov %rsp,%rbp
45ed36: 48 81 ec 20 00 10 00  sub $0x100020,%rsp
45ed3d: 48 89 84 24 30 00 10 00  mov %rax,0x100030(%rsp)
45ed45: 48 8d 7c 24 20  lea 0x20(%rsp),%rdi
45ed4a: b9 00 00 02 00  mov $0x20000,%ecx
45ed4f: 48 89 c2  mov %rax,%rdx
45ed52: 31 c0  xor %eax,%eax
45ed54: f3 48 ab  rep stos %rax,%es:(%rdi)
45ed57: 48 8d 44 24 20  lea 0x20(%rsp),%rax
45ed5c: bb 00 00 10 00  mov $0x100000,%ebx
45ed61: 48 89 d9  mov %rbx,%rcx
45ed64: 48 89 d7  mov %rdx,%rdi
45ed67: e8 54 00 00 00  call 45edc0 <main.fill>
45ed6c: 48 8b 84 24 30 00 10 00  mov 0x100030(%rsp),%rax
45ed74: 48 3d 00 00 10 00  cmp $0x100000,%rax
45ed7a: 73 0e  jae 45ed8a <main.huge+0x6a>
45ed7c: 0f b6 44 04 20  movzbl 0x20(%rsp,%rax,1),%eax
45ed81: 48 81 c4 20 00 10 00  add $0x100020,%rsp
45ed88: 5d  pop %rbp
45ed89: c3  ret
45ed8a: b9 00 00 10 00  mov $0x100000,%ecx
45ed8f: e8 4c a4 ff ff  call 4591e0 <runtime.panicIndex>
45ed94: 90  nop
45ed95: 48 89 44 24 08  mov %rax,0x8(%rsp)
45ed9a: e8 a1 83 ff ff  call 457140 <runtime.morestack_noctxt.abi0>
45ed9f: 48 8b 44 24 08  mov 0x8(%rsp),%rax
45eda4: e9 77 ff ff ff  jmp 45ed20 <main.huge>
45eda9: cc  int3
";

/// `runtime.(*mheap).allocManual`, which runs on the system stack, go1.27.4.
pub(super) const ALLOC_MANUAL_1_27: &str = "
43bc60: 49 3b 66 18  cmp 0x18(%r14),%rsp
43bc64: 76 2b  jbe 43bc91 <runtime.(*mheap).allocManual+0x31>
43bc66: 55  push %rbp
43bc67: 48 89 e5  mov %rsp,%rbp
43bc6a: 48 83 ec 18  sub $0x18,%rsp
43bc6e: 84 c9  test %cl,%cl
43bc70: 74 0d  je 43bc7f <runtime.(*mheap).allocManual+0x1f>
43bc72: 31 ff  xor %edi,%edi
43bc74: e8 47 03 00 00  call 43bfc0 <runtime.(*mheap).allocSpan>
43bc79: 48 83 c4 18  add $0x18,%rsp
43bc7d: 5d  pop %rbp
43bc7e: c3  ret
43bc7f: 48 8d 05 66 8e 0b 00  lea 0xb8e66(%rip),%rax
43bc86: bb 3c 00 00 00  mov $0x3c,%ebx
43bc8b: e8 50 6d 04 00  call 4829e0 <runtime.throw>
43bc90: 90  nop
43bc91: 48 89 44 24 08  mov %rax,0x8(%rsp)
43bc96: 48 89 5c 24 10  mov %rbx,0x10(%rsp)
43bc9b: 88 4c 24 18  mov %cl,0x18(%rsp)
43bc9f: 90  nop
43bca0: e8 1b f4 04 00  call 48b0c0 <runtime.morestackc.abi0>
43bca5: 48 8b 44 24 08  mov 0x8(%rsp),%rax
43bcaa: 48 8b 5c 24 10  mov 0x10(%rsp),%rbx
43bcaf: 0f b6 4c 24 18  movzbl 0x18(%rsp),%ecx
43bcb4: eb aa  jmp 43bc60 <runtime.(*mheap).allocManual>
43bcb6: cc  int3
";

/// `runtime.goStatusToTraceGoStatus`, which has a jump table, go1.27.4.
pub(super) const GO_STATUS_1_27: &str = "
475660: 55  push %rbp
475661: 48 89 e5  mov %rsp,%rbp
475664: 48 83 ec 10  sub $0x10,%rsp
475668: 89 c1  mov %eax,%ecx
47566a: 25 ff ef ff ff  and $0xffffefff,%eax
47566f: 48 8d 50 ff  lea -0x1(%rax),%rdx
475673: 48 83 fa 0a  cmp $0xa,%rdx
475677: 77 58  ja 4756d1 <runtime.goStatusToTraceGoStatus+0x71>
475679: 48 8d 05 c0 4c 08 00  lea 0x84cc0(%rip),%rax
475680: ff 24 d0  jmp *(%rax,%rdx,8)
475683: b8 01 00 00 00  mov $0x1,%eax
475688: eb 37  jmp 4756c1 <runtime.goStatusToTraceGoStatus+0x61>
47568a: b8 03 00 00 00  mov $0x3,%eax
47568f: eb 30  jmp 4756c1 <runtime.goStatusToTraceGoStatus+0x61>
475691: b8 02 00 00 00  mov $0x2,%eax
475696: eb 29  jmp 4756c1 <runtime.goStatusToTraceGoStatus+0x61>
475698: 83 f9 04  cmp $0x4,%ecx
47569b: 75 1f  jne 4756bc <runtime.goStatusToTraceGoStatus+0x5c>
47569d: 0f b6 cb  movzbl %bl,%ecx
4756a0: 48 83 f9 2f  cmp $0x2f,%rcx
4756a4: 73 21  jae 4756c7 <runtime.goStatusToTraceGoStatus+0x67>
4756a6: 48 8d 15 d3 55 1a 00  lea 0x1a55d3(%rip),%rdx
4756ad: 0f b6 0c 0a  movzbl (%rdx,%rcx,1),%ecx
4756b1: 84 c9  test %cl,%cl
4756b3: 74 07  je 4756bc <runtime.goStatusToTraceGoStatus+0x5c>
4756b5: b8 02 00 00 00  mov $0x2,%eax
4756ba: eb 05  jmp 4756c1 <runtime.goStatusToTraceGoStatus+0x61>
4756bc: b8 04 00 00 00  mov $0x4,%eax
4756c1: 48 83 c4 10  add $0x10,%rsp
4756c5: 5d  pop %rbp
4756c6: c3  ret
4756c7: b8 2f 00 00 00  mov $0x2f,%eax
4756cc: e8 cf 39 01 00  call 4890a0 <runtime.panicBounds>
4756d1: 48 8d 05 62 f3 07 00  lea 0x7f362(%rip),%rax
4756d8: bb 3b 00 00 00  mov $0x3b,%ebx
4756dd: 0f 1f 00  nopl (%rax)
4756e0: e8 fb d2 00 00  call 4829e0 <runtime.throw>
4756e5: 48 8d 05 1e a6 07 00  lea 0x7a61e(%rip),%rax
4756ec: bb 1d 00 00 00  mov $0x1d,%ebx
4756f1: e8 ea d2 00 00  call 4829e0 <runtime.throw>
4756f6: 90  nop
4756f7: cc  int3
";

/// A function without a stack check, go1.26.6.
pub(super) const NOSPLIT_1_26: &str = "
489420: 55  push %rbp
489421: 48 89 e5  mov %rsp,%rbp
489424: 48 89 44 24 10  mov %rax,0x10(%rsp)
489429: 48 39 df  cmp %rbx,%rdi
48942c: 73 06  jae 489434 <main.fill+0x14>
48942e: 40 88 3c 38  mov %dil,(%rax,%rdi,1)
489432: 5d  pop %rbp
489433: c3  ret
489434: e8 87 3f ff ff  call 47d3c0 <runtime.panicBounds>
489439: 90  nop
48943a: cc  int3
";

/// The same, go1.20.14.
pub(super) const NOSPLIT_1_20: &str = "
4614e0: 48 83 ec 18  sub $0x18,%rsp
4614e4: 48 89 6c 24 10  mov %rbp,0x10(%rsp)
4614e9: 48 8d 6c 24 10  lea 0x10(%rsp),%rbp
4614ee: 48 89 44 24 20  mov %rax,0x20(%rsp)
4614f3: 48 39 fb  cmp %rdi,%rbx
4614f6: 76 0e  jbe 461506 <main.fill+0x26>
4614f8: 40 88 3c 38  mov %dil,(%rax,%rdi,1)
4614fc: 48 8b 6c 24 10  mov 0x10(%rsp),%rbp
461501: 48 83 c4 18  add $0x18,%rsp
461505: c3  ret
461506: 48 89 f8  mov %rdi,%rax
461509: 48 89 d9  mov %rbx,%rcx
46150c: e8 6f 94 ff ff  call 45a980 <runtime.panicIndex>
461511: 90  nop
461512: cc  int3
";

/// A leaf function that is one loop, go1.26.6.
pub(super) const LOOP_1_26: &str = "
489460: eb 17  jmp 489479 <main.loop+0x19>
489462: 48 8d 0c 40  lea (%rax,%rax,2),%rcx
489466: 48 89 ca  mov %rcx,%rdx
489469: 48 c1 e9 3f  shr $0x3f,%rcx
48946d: 48 01 d1  add %rdx,%rcx
489470: 48 d1 f9  sar %rcx
489473: 48 29 c1  sub %rax,%rcx
489476: 48 89 c8  mov %rcx,%rax
489479: 48 83 f8 01  cmp $0x1,%rax
48947d: 7f e3  jg 489462 <main.loop+0x2>
48947f: 90  nop
489480: c3  ret
489481: cc  int3
";

/// `runtime.osinit's ABI0 wrapper`, go1.27.4.
pub(super) const OSINIT_ABI0_1_27: &str = "
48ae40: 45 0f 57 ff  xorps %xmm15,%xmm15
48ae44: 64 4c 8b 34 25 f8 ff ff ff  mov %fs:0xfffffffffffffff8,%r14
48ae4d: e9 ee ce fb ff  jmp 447d40 <runtime.osinit>
48ae52: cc  int3
";

/// The end of `runtime.newproc1`, from the last fields of the new `g` on, go1.27.4.
pub(super) const NEWPROC1_END_1_27: &str = "
44f1d7: 0f b6 89 da 00 00 00  movzbl 0xda(%rcx),%ecx
44f1de: 88 88 da 00 00 00  mov %cl,0xda(%rax)
44f1e4: 48 ff 82 e0 35 00 00  incq 0x35e0(%rdx)
44f1eb: 48 8b 4c 24 38  mov 0x38(%rsp),%rcx
44f1f0: 8b 91 08 01 00 00  mov 0x108(%rcx),%edx
44f1f6: 90  nop
44f1f7: ff ca  dec %edx
44f1f9: 89 91 08 01 00 00  mov %edx,0x108(%rcx)
44f1ff: 90  nop
44f200: 75 12  jne 44f214 <runtime.newproc1+0x474>
44f202: 41 80 be b1 00 00 00 00  cmpb $0x0,0xb1(%r14)
44f20a: 74 08  je 44f214 <runtime.newproc1+0x474>
44f20c: 49 c7 46 10 de fa ff ff  movq $0xfffffffffffffade,0x10(%r14)
44f214: 48 83 c4 50  add $0x50,%rsp
44f218: 5d  pop %rbp
44f219: c3  ret
";

/// The end of `runtime.newproc1`, from the look whether a trace is on, go1.18.10.
pub(super) const NEWPROC1_END_1_18: &str = "
436a0c: 74 11  je 436a1f <runtime.newproc1+0x2ff>
436a0e: 48 8b 98 38 01 00 00  mov 0x138(%rax),%rbx
436a15: e8 86 2f 01 00  call 4499a0 <runtime.traceGoCreate>
436a1a: 48 8b 44 24 18  mov 0x18(%rsp),%rax
436a1f: 48 8b 4c 24 20  mov 0x20(%rsp),%rcx
436a24: 48 8b 49 30  mov 0x30(%rcx),%rcx
436a28: 8b 91 08 01 00 00  mov 0x108(%rcx),%edx
436a2e: 8d 5a ff  lea -0x1(%rdx),%ebx
436a31: 89 99 08 01 00 00  mov %ebx,0x108(%rcx)
436a37: 83 fa 01  cmp $0x1,%edx
436a3a: 75 12  jne 436a4e <runtime.newproc1+0x32e>
436a3c: 41 80 be b1 00 00 00 00  cmpb $0x0,0xb1(%r14)
436a44: 74 08  je 436a4e <runtime.newproc1+0x32e>
436a46: 49 c7 46 10 de fa ff ff  movq $0xfffffffffffffade,0x10(%r14)
436a4e: 48 8b 6c 24 40  mov 0x40(%rsp),%rbp
436a53: 48 83 c4 48  add $0x48,%rsp
436a57: c3  ret
";
