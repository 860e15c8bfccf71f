//! Disassembled function bodies for the tests of [`super`], as `objdump -dw` prints them: the listing is the fixture. Behind `;`
//! stands which line of the function an instruction is of, and what was inlined there, innermost first, as goflow's
//! `GoBinary::frames` reads it from the function table; trailing padding is left out. The program is
//!
//! ```go
//! package main
//!
//! import "sync"
//!
//! type store struct {
//!     name string
//!     mu   sync.Mutex
//!     rw   sync.RWMutex
//!     n    int
//! }
//!
//! var all sync.Mutex
//!
//! //go:noinline
//! func work() {}
//!
//! //go:noinline
//! func (s *store) add(more bool) {
//!     s.mu.Lock()
//!     s.n++
//!     if more {
//!         work()
//!     }
//!     s.mu.Unlock()
//!     work()
//! }
//!
//! //go:noinline
//! func (s *store) read() int {
//!     s.rw.RLock()
//!     work()
//!     n := s.n
//!     s.rw.RUnlock()
//!     work()
//!     return n
//! }
//!
//! //go:noinline
//! func guarded() {
//!     all.Lock()
//!     defer all.Unlock()
//!     work()
//! }
//!
//! func main() {
//!     s := &store{}
//!     s.add(true)
//!     s.read()
//!     guarded()
//! }
//! ```
//!
//! built by `CGO_ENABLED=0 GOTOOLCHAIN=go1.18.10 go build` (amd64), and with `go1.27.4`.

/// `main.(*store).add`, go1.18.10.
pub(super) const ADD_1_18: &str = "
455c80: 49 3b 66 10  cmp 0x10(%r14),%rsp  ; 18
455c84: 0f 86 8e 00 00 00  jbe 455d18 <main.(*store).add+0x98>  ; 18
455c8a: 48 83 ec 20  sub $0x20,%rsp  ; 18
455c8e: 48 89 6c 24 18  mov %rbp,0x18(%rsp)  ; 18
455c93: 48 8d 6c 24 18  lea 0x18(%rsp),%rbp  ; 18
455c98: 48 89 44 24 28  mov %rax,0x28(%rsp)  ; 18
455c9d: 48 89 c1  mov %rax,%rcx  ; 19
455ca0: 31 c0  xor %eax,%eax  ; 19
455ca2: ba 01 00 00 00  mov $0x1,%edx  ; 19
455ca7: f0 0f b1 51 10  lock cmpxchg %edx,0x10(%rcx)  ; 19
455cac: 0f 94 c2  sete %dl  ; 19
455caf: 48 8d 41 10  lea 0x10(%rcx),%rax  ; 19
455cb3: 48 89 44 24 10  mov %rax,0x10(%rsp)  ; 19
455cb8: 84 d2  test %dl,%dl  ; 19 sync.(*Mutex).Lock
455cba: 75 18  jne 455cd4 <main.(*store).add+0x54>  ; 19 sync.(*Mutex).Lock
455cbc: 88 5c 24 30  mov %bl,0x30(%rsp)  ; 18
455cc0: e8 db f8 ff ff  call 4555a0 <sync.(*Mutex).lockSlow>  ; 19 sync.(*Mutex).Lock
455cc5: 48 8b 44 24 10  mov 0x10(%rsp),%rax  ; 24 sync.(*Mutex).Unlock
455cca: 48 8b 4c 24 28  mov 0x28(%rsp),%rcx  ; 20
455ccf: 0f b6 5c 24 30  movzbl 0x30(%rsp),%ebx  ; 18
455cd4: 48 ff 41 30  incq 0x30(%rcx)  ; 20
455cd8: 84 db  test %bl,%bl  ; 18
455cda: 74 13  je 455cef <main.(*store).add+0x6f>  ; 21
455cdc: 0f 1f 40 00  nopl 0x0(%rax)  ; 22
455ce0: e8 7b ff ff ff  call 455c60 <main.work>  ; 22
455ce5: 48 8b 44 24 10  mov 0x10(%rsp),%rax  ; 24 sync.(*Mutex).Unlock
455cea: 48 8b 4c 24 28  mov 0x28(%rsp),%rcx  ; 24 sync.(*Mutex).Unlock
455cef: 90  nop  ; 24
455cf0: ba ff ff ff ff  mov $0xffffffff,%edx  ; 24 sync.(*Mutex).Unlock
455cf5: f0 0f c1 51 10  lock xadd %edx,0x10(%rcx)  ; 24 sync.(*Mutex).Unlock
455cfa: 8d 5a ff  lea -0x1(%rdx),%ebx  ; 24 sync.(*Mutex).Unlock
455cfd: 0f 1f 00  nopl (%rax)  ; 24 sync.(*Mutex).Unlock
455d00: 85 db  test %ebx,%ebx  ; 24 sync.(*Mutex).Unlock
455d02: 74 05  je 455d09 <main.(*store).add+0x89>  ; 24 sync.(*Mutex).Unlock
455d04: e8 97 fb ff ff  call 4558a0 <sync.(*Mutex).unlockSlow>  ; 24 sync.(*Mutex).Unlock
455d09: e8 52 ff ff ff  call 455c60 <main.work>  ; 25
455d0e: 48 8b 6c 24 18  mov 0x18(%rsp),%rbp  ; 26
455d13: 48 83 c4 20  add $0x20,%rsp  ; 26
455d17: c3  ret  ; 26
455d18: 48 89 44 24 08  mov %rax,0x8(%rsp)  ; 18
455d1d: 88 5c 24 10  mov %bl,0x10(%rsp)  ; 18
455d21: e8 fa c5 ff ff  call 452320 <runtime.morestack_noctxt.abi0>  ; 18
455d26: 48 8b 44 24 08  mov 0x8(%rsp),%rax  ; 18
455d2b: 0f b6 5c 24 10  movzbl 0x10(%rsp),%ebx  ; 18
455d30: e9 4b ff ff ff  jmp 455c80 <main.(*store).add>  ; 18
";

/// `main.(*store).read`, go1.18.10.
pub(super) const READ_1_18: &str = "
455d40: 49 3b 66 10  cmp 0x10(%r14),%rsp  ; 29
455d44: 76 75  jbe 455dbb <main.(*store).read+0x7b>  ; 29
455d46: 48 83 ec 28  sub $0x28,%rsp  ; 29
455d4a: 48 89 6c 24 20  mov %rbp,0x20(%rsp)  ; 29
455d4f: 48 8d 6c 24 20  lea 0x20(%rsp),%rbp  ; 29
455d54: 48 89 44 24 30  mov %rax,0x30(%rsp)  ; 29
455d59: ba 01 00 00 00  mov $0x1,%edx  ; 30
455d5e: f0 0f c1 50 28  lock xadd %edx,0x28(%rax)  ; 30
455d63: ff c2  inc %edx  ; 30 sync.(*RWMutex).RLock
455d65: 85 d2  test %edx,%edx  ; 30 sync.(*RWMutex).RLock
455d67: 7d 10  jge 455d79 <main.(*store).read+0x39>  ; 30 sync.(*RWMutex).RLock
455d69: 48 8d 50 24  lea 0x24(%rax),%rdx  ; 30 sync.(*RWMutex).RLock
455d6d: 31 db  xor %ebx,%ebx  ; 30 sync.(*RWMutex).RLock
455d6f: 31 c9  xor %ecx,%ecx  ; 30 sync.(*RWMutex).RLock
455d71: 48 89 d0  mov %rdx,%rax  ; 30 sync.(*RWMutex).RLock
455d74: e8 27 b4 ff ff  call 4511a0 <sync.runtime_SemacquireMutex>  ; 30 sync.(*RWMutex).RLock
455d79: e8 e2 fe ff ff  call 455c60 <main.work>  ; 31
455d7e: 48 8b 44 24 30  mov 0x30(%rsp),%rax  ; 32
455d83: 48 8b 48 30  mov 0x30(%rax),%rcx  ; 32
455d87: 48 89 4c 24 18  mov %rcx,0x18(%rsp)  ; 32
455d8c: 90  nop  ; 33
455d8d: ba ff ff ff ff  mov $0xffffffff,%edx  ; 33 sync.(*RWMutex).RUnlock
455d92: f0 0f c1 50 28  lock xadd %edx,0x28(%rax)  ; 33 sync.(*RWMutex).RUnlock
455d97: 8d 5a ff  lea -0x1(%rdx),%ebx  ; 33 sync.(*RWMutex).RUnlock
455d9a: 85 db  test %ebx,%ebx  ; 33 sync.(*RWMutex).RUnlock
455d9c: 7d 09  jge 455da7 <main.(*store).read+0x67>  ; 33 sync.(*RWMutex).RUnlock
455d9e: 48 83 c0 18  add $0x18,%rax  ; 30
455da2: e8 b9 fd ff ff  call 455b60 <sync.(*RWMutex).rUnlockSlow>  ; 33 sync.(*RWMutex).RUnlock
455da7: e8 b4 fe ff ff  call 455c60 <main.work>  ; 34
455dac: 48 8b 44 24 18  mov 0x18(%rsp),%rax  ; 35
455db1: 48 8b 6c 24 20  mov 0x20(%rsp),%rbp  ; 35
455db6: 48 83 c4 28  add $0x28,%rsp  ; 35
455dba: c3  ret  ; 35
455dbb: 48 89 44 24 08  mov %rax,0x8(%rsp)  ; 29
455dc0: e8 5b c5 ff ff  call 452320 <runtime.morestack_noctxt.abi0>  ; 29
455dc5: 48 8b 44 24 08  mov 0x8(%rsp),%rax  ; 29
455dca: e9 71 ff ff ff  jmp 455d40 <main.(*store).read>  ; 29
";

/// `main.guarded`, go1.18.10.
pub(super) const GUARDED_1_18: &str = "
455de0: 49 3b 66 10  cmp 0x10(%r14),%rsp  ; 39
455de4: 0f 86 a5 00 00 00  jbe 455e8f <main.guarded+0xaf>  ; 39
455dea: 48 83 ec 30  sub $0x30,%rsp  ; 39
455dee: 48 89 6c 24 28  mov %rbp,0x28(%rsp)  ; 39
455df3: 48 8d 6c 24 28  lea 0x28(%rsp),%rbp  ; 39
455df8: 49 c7 c5 00 00 00 00  mov $0x0,%r13  ; 39
455dff: 4c 89 6c 24 20  mov %r13,0x20(%rsp)  ; 39
455e04: c6 44 24 0f 00  movb $0x0,0xf(%rsp)  ; 39
455e09: 90  nop  ; 40
455e0a: 31 c0  xor %eax,%eax  ; 40 sync.(*Mutex).Lock
455e0c: 48 8d 0d c5 42 09 00  lea 0x942c5(%rip),%rcx  ; 40 sync.(*Mutex).Lock
455e13: ba 01 00 00 00  mov $0x1,%edx  ; 40 sync.(*Mutex).Lock
455e18: f0 0f b1 11  lock cmpxchg %edx,(%rcx)  ; 40 sync.(*Mutex).Lock
455e1c: 0f 94 c1  sete %cl  ; 40 sync.(*Mutex).Lock
455e1f: 90  nop  ; 40 sync.(*Mutex).Lock
455e20: 84 c9  test %cl,%cl  ; 40 sync.(*Mutex).Lock
455e22: 75 0c  jne 455e30 <main.guarded+0x50>  ; 40 sync.(*Mutex).Lock
455e24: 48 8d 05 ad 42 09 00  lea 0x942ad(%rip),%rax  ; 40 sync.(*Mutex).Lock
455e2b: e8 70 f7 ff ff  call 4555a0 <sync.(*Mutex).lockSlow>  ; 40 sync.(*Mutex).Lock
455e30: 44 0f 11 7c 24 10  movups %xmm15,0x10(%rsp)  ; 41
455e36: 48 8d 05 63 00 00 00  lea 0x63(%rip),%rax  ; 41
455e3d: 48 89 44 24 10  mov %rax,0x10(%rsp)  ; 41
455e42: 48 8d 05 8f 42 09 00  lea 0x9428f(%rip),%rax  ; 41
455e49: 48 89 44 24 18  mov %rax,0x18(%rsp)  ; 41
455e4e: 48 8d 44 24 10  lea 0x10(%rsp),%rax  ; 41
455e53: 48 89 44 24 20  mov %rax,0x20(%rsp)  ; 41
455e58: c6 44 24 0f 01  movb $0x1,0xf(%rsp)  ; 41
455e5d: 0f 1f 00  nopl (%rax)  ; 41
455e60: e8 fb fd ff ff  call 455c60 <main.work>  ; 42
455e65: c6 44 24 0f 00  movb $0x0,0xf(%rsp)  ; 43
455e6a: 48 8b 54 24 20  mov 0x20(%rsp),%rdx  ; 43
455e6f: 48 8b 02  mov (%rdx),%rax  ; 43
455e72: ff d0  call *%rax  ; 43
455e74: 48 8b 6c 24 28  mov 0x28(%rsp),%rbp  ; 43
455e79: 48 83 c4 30  add $0x30,%rsp  ; 43
455e7d: c3  ret  ; 43
455e7e: 66 90  xchg %ax,%ax  ; 43
455e80: e8 7b 4a fd ff  call 42a900 <runtime.deferreturn>  ; 43
455e85: 48 8b 6c 24 28  mov 0x28(%rsp),%rbp  ; 43
455e8a: 48 83 c4 30  add $0x30,%rsp  ; 43
455e8e: c3  ret  ; 43
455e8f: e8 8c c4 ff ff  call 452320 <runtime.morestack_noctxt.abi0>  ; 39
455e94: e9 47 ff ff ff  jmp 455de0 <main.guarded>  ; 39
";

/// `main.guarded.func1`, go1.18.10.
pub(super) const GUARDED_DEFER_1_18: &str = "
455ea0: 49 3b 66 10  cmp 0x10(%r14),%rsp  ; 41
455ea4: 76 2a  jbe 455ed0 <main.guarded.func1+0x30>  ; 41
455ea6: 48 83 ec 10  sub $0x10,%rsp  ; 41
455eaa: 48 89 6c 24 08  mov %rbp,0x8(%rsp)  ; 41
455eaf: 48 8d 6c 24 08  lea 0x8(%rsp),%rbp  ; 41
455eb4: 4d 8b 66 20  mov 0x20(%r14),%r12  ; 41
455eb8: 4d 85 e4  test %r12,%r12  ; 41
455ebb: 75 1a  jne 455ed7 <main.guarded.func1+0x37>  ; 41
455ebd: 48 8b 42 08  mov 0x8(%rdx),%rax  ; 41
455ec1: e8 7a f9 ff ff  call 455840 <sync.(*Mutex).Unlock>  ; 41
455ec6: 48 8b 6c 24 08  mov 0x8(%rsp),%rbp  ; 41
455ecb: 48 83 c4 10  add $0x10,%rsp  ; 41
455ecf: c3  ret  ; 41
455ed0: e8 ab c3 ff ff  call 452280 <runtime.morestack.abi0>  ; 41
455ed5: eb c9  jmp 455ea0 <main.guarded.func1>  ; 41
455ed7: 4c 8d 6c 24 18  lea 0x18(%rsp),%r13  ; 41
455edc: 0f 1f 40 00  nopl 0x0(%rax)  ; 41
455ee0: 4d 39 2c 24  cmp %r13,(%r12)  ; 41
455ee4: 75 d7  jne 455ebd <main.guarded.func1+0x1d>  ; 41
455ee6: 49 89 24 24  mov %rsp,(%r12)  ; 41
455eea: eb d1  jmp 455ebd <main.guarded.func1+0x1d>  ; 41
";

/// `main.(*store).add`, go1.27.4.
pub(super) const ADD_1_27: &str = "
47e580: 49 3b 66 10  cmp 0x10(%r14),%rsp  ; 18
47e584: 0f 86 88 00 00 00  jbe 47e612 <main.(*store).add+0x92>  ; 18
47e58a: 55  push %rbp  ; 18
47e58b: 48 89 e5  mov %rsp,%rbp  ; 18
47e58e: 48 83 ec 18  sub $0x18,%rsp  ; 18
47e592: 48 89 44 24 28  mov %rax,0x28(%rsp)  ; 19 internal/sync.(*Mutex).Lock, sync.(*Mutex).Lock
47e597: 48 8d 48 10  lea 0x10(%rax),%rcx  ; 19 sync.(*Mutex).Lock
47e59b: 48 89 4c 24 10  mov %rcx,0x10(%rsp)  ; 19 sync.(*Mutex).Lock
47e5a0: 48 89 c2  mov %rax,%rdx  ; 19 internal/sync.(*Mutex).Lock, sync.(*Mutex).Lock
47e5a3: 31 c0  xor %eax,%eax  ; 19
47e5a5: be 01 00 00 00  mov $0x1,%esi  ; 19
47e5aa: f0 0f b1 72 10  lock cmpxchg %esi,0x10(%rdx)  ; 19
47e5af: 40 0f 94 c6  sete %sil  ; 19
47e5b3: 40 84 f6  test %sil,%sil  ; 19 internal/sync.(*Mutex).Lock, sync.(*Mutex).Lock
47e5b6: 75 1c  jne 47e5d4 <main.(*store).add+0x54>  ; 19 internal/sync.(*Mutex).Lock, sync.(*Mutex).Lock
47e5b8: 88 5c 24 30  mov %bl,0x30(%rsp)  ; 19 internal/sync.(*Mutex).Lock, sync.(*Mutex).Lock
47e5bc: 48 89 c8  mov %rcx,%rax  ; 19 internal/sync.(*Mutex).Lock, sync.(*Mutex).Lock
47e5bf: 90  nop  ; 19 internal/sync.(*Mutex).Lock, sync.(*Mutex).Lock
47e5c0: e8 9b f9 ff ff  call 47df60 <internal/sync.(*Mutex).lockSlow>  ; 19 internal/sync.(*Mutex).Lock, sync.(*Mutex).Lock
47e5c5: 48 8b 4c 24 10  mov 0x10(%rsp),%rcx  ; 24 internal/sync.(*Mutex).Unlock, sync.(*Mutex).Unlock
47e5ca: 48 8b 54 24 28  mov 0x28(%rsp),%rdx  ; 20
47e5cf: 0f b6 5c 24 30  movzbl 0x30(%rsp),%ebx  ; 19 internal/sync.(*Mutex).Lock, sync.(*Mutex).Lock
47e5d4: 48 ff 42 30  incq 0x30(%rdx)  ; 20
47e5d8: 84 db  test %bl,%bl  ; 19 internal/sync.(*Mutex).Lock, sync.(*Mutex).Lock
47e5da: 74 13  je 47e5ef <main.(*store).add+0x6f>  ; 21
47e5dc: 0f 1f 40 00  nopl 0x0(%rax)  ; 21
47e5e0: e8 7b ff ff ff  call 47e560 <main.work>  ; 22
47e5e5: 48 8b 4c 24 10  mov 0x10(%rsp),%rcx  ; 24 internal/sync.(*Mutex).Unlock, sync.(*Mutex).Unlock
47e5ea: 48 8b 54 24 28  mov 0x28(%rsp),%rdx  ; 24 internal/sync.(*Mutex).Unlock, sync.(*Mutex).Unlock
47e5ef: 90  nop  ; 24
47e5f0: 90  nop  ; 24 sync.(*Mutex).Unlock
47e5f1: bb ff ff ff ff  mov $0xffffffff,%ebx  ; 24 internal/sync.(*Mutex).Unlock, sync.(*Mutex).Unlock
47e5f6: f0 0f c1 5a 10  lock xadd %ebx,0x10(%rdx)  ; 24 internal/sync.(*Mutex).Unlock, sync.(*Mutex).Unlock
47e5fb: ff cb  dec %ebx  ; 24 internal/sync.(*Mutex).Unlock, sync.(*Mutex).Unlock
47e5fd: 74 08  je 47e607 <main.(*store).add+0x87>  ; 24 internal/sync.(*Mutex).Unlock, sync.(*Mutex).Unlock
47e5ff: 48 89 c8  mov %rcx,%rax  ; 24 internal/sync.(*Mutex).Unlock, sync.(*Mutex).Unlock
47e602: e8 f9 fb ff ff  call 47e200 <internal/sync.(*Mutex).unlockSlow>  ; 24 internal/sync.(*Mutex).Unlock, sync.(*Mutex).Unlock
47e607: e8 54 ff ff ff  call 47e560 <main.work>  ; 25
47e60c: 48 83 c4 18  add $0x18,%rsp  ; 26
47e610: 5d  pop %rbp  ; 26
47e611: c3  ret  ; 26
47e612: 48 89 44 24 08  mov %rax,0x8(%rsp)  ; 18
47e617: 88 5c 24 10  mov %bl,0x10(%rsp)  ; 18
47e61b: 0f 1f 44 00 00  nopl 0x0(%rax,%rax,1)  ; 18
47e620: e8 9b b4 ff ff  call 479ac0 <runtime.morestack_noctxt.abi0>  ; 18
47e625: 48 8b 44 24 08  mov 0x8(%rsp),%rax  ; 18
47e62a: 0f b6 5c 24 10  movzbl 0x10(%rsp),%ebx  ; 18
47e62f: e9 4c ff ff ff  jmp 47e580 <main.(*store).add>  ; 18
";

/// `main.(*store).read`, go1.27.4.
pub(super) const READ_1_27: &str = "
47e640: 49 3b 66 10  cmp 0x10(%r14),%rsp  ; 29
47e644: 76 6a  jbe 47e6b0 <main.(*store).read+0x70>  ; 29
47e646: 55  push %rbp  ; 29
47e647: 48 89 e5  mov %rsp,%rbp  ; 29
47e64a: 48 83 ec 20  sub $0x20,%rsp  ; 29
47e64e: 48 89 44 24 30  mov %rax,0x30(%rsp)  ; 30 sync.(*RWMutex).RLock
47e653: ba 01 00 00 00  mov $0x1,%edx  ; 30
47e658: f0 0f c1 50 28  lock xadd %edx,0x28(%rax)  ; 30
47e65d: ff c2  inc %edx  ; 30 sync/atomic.(*Int32).Add, sync.(*RWMutex).RLock
47e65f: 90  nop  ; 30 sync/atomic.(*Int32).Add, sync.(*RWMutex).RLock
47e660: 85 d2  test %edx,%edx  ; 30 sync.(*RWMutex).RLock
47e662: 7d 0d  jge 47e671 <main.(*store).read+0x31>  ; 30 sync.(*RWMutex).RLock
47e664: 48 83 c0 24  add $0x24,%rax  ; 30 sync.(*RWMutex).RLock
47e668: 31 db  xor %ebx,%ebx  ; 30 sync.(*RWMutex).RLock
47e66a: 31 c9  xor %ecx,%ecx  ; 30 sync.(*RWMutex).RLock
47e66c: e8 4f 88 ff ff  call 476ec0 <sync.runtime_SemacquireRWMutexR>  ; 30 sync.(*RWMutex).RLock
47e671: e8 ea fe ff ff  call 47e560 <main.work>  ; 31
47e676: 48 8b 44 24 30  mov 0x30(%rsp),%rax  ; 32
47e67b: 48 8b 48 30  mov 0x30(%rax),%rcx  ; 32
47e67f: 48 89 4c 24 18  mov %rcx,0x18(%rsp)  ; 32
47e684: bb ff ff ff ff  mov $0xffffffff,%ebx  ; 33 sync/atomic.(*Int32).Add, sync.(*RWMutex).RUnlock
47e689: f0 0f c1 58 28  lock xadd %ebx,0x28(%rax)  ; 33 sync/atomic.(*Int32).Add, sync.(*RWMutex).RUnlock
47e68e: ff cb  dec %ebx  ; 33 sync/atomic.(*Int32).Add, sync.(*RWMutex).RUnlock
47e690: 85 db  test %ebx,%ebx  ; 33 sync.(*RWMutex).RUnlock
47e692: 7d 0c  jge 47e6a0 <main.(*store).read+0x60>  ; 33 sync.(*RWMutex).RUnlock
47e694: 48 83 c0 18  add $0x18,%rax  ; 33
47e698: e8 03 fd ff ff  call 47e3a0 <sync.(*RWMutex).rUnlockSlow>  ; 33 sync.(*RWMutex).RUnlock
47e69d: 0f 1f 00  nopl (%rax)  ; 33 sync.(*RWMutex).RUnlock
47e6a0: e8 bb fe ff ff  call 47e560 <main.work>  ; 34
47e6a5: 48 8b 44 24 18  mov 0x18(%rsp),%rax  ; 35
47e6aa: 48 83 c4 20  add $0x20,%rsp  ; 35
47e6ae: 5d  pop %rbp  ; 35
47e6af: c3  ret  ; 35
47e6b0: 48 89 44 24 08  mov %rax,0x8(%rsp)  ; 29
47e6b5: e8 06 b4 ff ff  call 479ac0 <runtime.morestack_noctxt.abi0>  ; 29
47e6ba: 48 8b 44 24 08  mov 0x8(%rsp),%rax  ; 29
47e6bf: 90  nop  ; 29
47e6c0: e9 7b ff ff ff  jmp 47e640 <main.(*store).read>  ; 29
";

/// `main.guarded`, go1.27.4.
pub(super) const GUARDED_1_27: &str = "
47e6e0: 49 3b 66 10  cmp 0x10(%r14),%rsp  ; 39
47e6e4: 0f 86 89 00 00 00  jbe 47e773 <main.guarded+0x93>  ; 39
47e6ea: 55  push %rbp  ; 39
47e6eb: 48 89 e5  mov %rsp,%rbp  ; 39
47e6ee: 48 83 ec 28  sub $0x28,%rsp  ; 39
47e6f2: 66 44 0f d6 7c 24 20  movq %xmm15,0x20(%rsp)  ; 39
47e6f9: c6 44 24 0f 00  movb $0x0,0xf(%rsp)  ; 39
47e6fe: 90  nop  ; 40
47e6ff: 90  nop  ; 40 sync.(*Mutex).Lock
47e700: 31 c0  xor %eax,%eax  ; 40 internal/sync.(*Mutex).Lock, sync.(*Mutex).Lock
47e702: 48 8d 0d 4f 01 0d 00  lea 0xd014f(%rip),%rcx  ; 40 internal/sync.(*Mutex).Lock, sync.(*Mutex).Lock
47e709: ba 01 00 00 00  mov $0x1,%edx  ; 40 internal/sync.(*Mutex).Lock, sync.(*Mutex).Lock
47e70e: f0 0f b1 11  lock cmpxchg %edx,(%rcx)  ; 40 internal/sync.(*Mutex).Lock, sync.(*Mutex).Lock
47e712: 0f 94 c1  sete %cl  ; 40 internal/sync.(*Mutex).Lock, sync.(*Mutex).Lock
47e715: 84 c9  test %cl,%cl  ; 40 internal/sync.(*Mutex).Lock, sync.(*Mutex).Lock
47e717: 75 0c  jne 47e725 <main.guarded+0x45>  ; 40 internal/sync.(*Mutex).Lock, sync.(*Mutex).Lock
47e719: 48 8d 05 38 01 0d 00  lea 0xd0138(%rip),%rax  ; 40 internal/sync.(*Mutex).Lock, sync.(*Mutex).Lock
47e720: e8 3b f8 ff ff  call 47df60 <internal/sync.(*Mutex).lockSlow>  ; 40 internal/sync.(*Mutex).Lock, sync.(*Mutex).Lock
47e725: 48 8d 05 b4 00 00 00  lea 0xb4(%rip),%rax  ; 41
47e72c: 48 89 44 24 10  mov %rax,0x10(%rsp)  ; 41
47e731: 48 8d 05 20 01 0d 00  lea 0xd0120(%rip),%rax  ; 41
47e738: 48 89 44 24 18  mov %rax,0x18(%rsp)  ; 41
47e73d: 48 8d 44 24 10  lea 0x10(%rsp),%rax  ; 41
47e742: 48 89 44 24 20  mov %rax,0x20(%rsp)  ; 41
47e747: c6 44 24 0f 01  movb $0x1,0xf(%rsp)  ; 41
47e74c: e8 0f fe ff ff  call 47e560 <main.work>  ; 42
47e751: c6 44 24 0f 00  movb $0x0,0xf(%rsp)  ; 43
47e756: 48 8b 54 24 20  mov 0x20(%rsp),%rdx  ; 43
47e75b: 48 8b 02  mov (%rdx),%rax  ; 43
47e75e: 66 90  xchg %ax,%ax  ; 43
47e760: ff d0  call *%rax  ; 43
47e762: 48 83 c4 28  add $0x28,%rsp  ; 43
47e766: 5d  pop %rbp  ; 43
47e767: c3  ret  ; 43
47e768: e8 d3 2e fc ff  call 441640 <runtime.deferreturn>  ; 43
47e76d: 48 83 c4 28  add $0x28,%rsp  ; 43
47e771: 5d  pop %rbp  ; 43
47e772: c3  ret  ; 43
47e773: e8 48 b3 ff ff  call 479ac0 <runtime.morestack_noctxt.abi0>  ; 39
47e778: e9 63 ff ff ff  jmp 47e6e0 <main.guarded>  ; 39
";

/// `main.guarded.deferwrap1`, go1.27.4.
pub(super) const GUARDED_DEFER_1_27: &str = "
47e7e0: 49 3b 66 10  cmp 0x10(%r14),%rsp  ; 41
47e7e4: 76 25  jbe 47e80b <main.guarded.deferwrap1+0x2b>  ; 41
47e7e6: 55  push %rbp  ; 41
47e7e7: 48 89 e5  mov %rsp,%rbp  ; 41
47e7ea: 48 83 ec 10  sub $0x10,%rsp  ; 41
47e7ee: 48 8b 42 08  mov 0x8(%rdx),%rax  ; 41
47e7f2: bb ff ff ff ff  mov $0xffffffff,%ebx  ; 41 sync.(*Mutex).Unlock
47e7f7: f0 0f c1 18  lock xadd %ebx,(%rax)  ; 41 sync.(*Mutex).Unlock
47e7fb: ff cb  dec %ebx  ; 41 internal/sync.(*Mutex).Unlock, sync.(*Mutex).Unlock
47e7fd: 74 06  je 47e805 <main.guarded.deferwrap1+0x25>  ; 41 internal/sync.(*Mutex).Unlock, sync.(*Mutex).Unlock
47e7ff: 90  nop  ; 41 internal/sync.(*Mutex).Unlock, sync.(*Mutex).Unlock
47e800: e8 fb f9 ff ff  call 47e200 <internal/sync.(*Mutex).unlockSlow>  ; 41 internal/sync.(*Mutex).Unlock, sync.(*Mutex).Unlock
47e805: 48 83 c4 10  add $0x10,%rsp  ; 41
47e809: 5d  pop %rbp  ; 41
47e80a: c3  ret  ; 41
47e80b: e8 10 b2 ff ff  call 479a20 <runtime.morestack.abi0>  ; 41
47e810: eb ce  jmp 47e7e0 <main.guarded.deferwrap1>  ; 41
";
