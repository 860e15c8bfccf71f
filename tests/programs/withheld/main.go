// Withheld runs on while its memory is of no use to who reads it.
//
// Its argument says how: `page` has a goroutine wait on a channel in a page that userfaultfd is asked for and that nobody
// provides, so that whoever reads it waits for ever; `list` gives the runtime a list of 16 million goroutines, of which
// all but the first are addresses that are not mapped. The runtime reads neither unless it prints all goroutines or makes
// another one; the latter needs a Go that lets the program name the runtime's variables (up to 1.22).
//
// What one sees: "running", or why not, then "still running" for each line on stdin, and the end, status 0, when stdin
// closes.
package main

import (
	"os"
	"runtime"
	"syscall"
	"unsafe"
)

//go:linkname allglen runtime.allglen
var allglen uintptr

//go:linkname allgptr runtime.allgptr
var allgptr **byte

const entries = 1 << 24

func mapped(size int) []byte {
	page, err := syscall.Mmap(-1, 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	check(err)
	return page
}

func check(err error) {
	if err != nil {
		syscall.Write(1, []byte(err.Error()+"\n"))
		os.Exit(1)
	}
}

// control does an ioctl of userfaultfd (linux/userfaultfd.h).
func control(fd, request uintptr, argument unsafe.Pointer) {
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, fd, request, uintptr(argument)); errno != 0 {
		check(errno)
	}
}

// withhold has userfaultfd asked for what is missing of page, and then that it is missing.
func withhold(page []byte) {
	const sysUserfaultfd, api, register = 323, 0xc018aa3f, 0xc020aa00
	fd, _, errno := syscall.Syscall(sysUserfaultfd, syscall.O_CLOEXEC, 0, 0)
	if errno != 0 {
		check(errno)
	}
	control(fd, api, unsafe.Pointer(&[3]uint64{0xaa}))
	start := uint64(uintptr(unsafe.Pointer(&page[0])))
	control(fd, register, unsafe.Pointer(&[4]uint64{start, uint64(len(page)), 1, 0}))
	check(syscall.Madvise(page, syscall.MADV_DONTNEED))
}

// channelIn makes a channel in page.
func channelIn(page []byte) (made chan int) {
	const sizeOfHchan = 96
	real := make(chan int)
	copy(page, (*[sizeOfHchan]byte)(*(*unsafe.Pointer)(unsafe.Pointer(&real)))[:])
	*(*unsafe.Pointer)(unsafe.Pointer(&made)) = unsafe.Pointer(&page[0])
	return made
}

func main() {
	// None is made later.
	runtime.GOMAXPROCS(1)
	switch os.Args[1] {
	case "page":
		page := mapped(4096)
		withheld := channelIn(page)
		go func() { <-withheld }()
		runtime.Gosched()
		withhold(page)
	case "list":
		list := mapped(8 * entries)
		words := (*[entries]uintptr)(unsafe.Pointer(&list[0]))
		words[0] = uintptr(unsafe.Pointer(*allgptr))
		for n := uintptr(1); n < entries; n++ {
			words[n] = 1<<46 + n<<12
		}
		allgptr, allglen = (**byte)(unsafe.Pointer(words)), entries
	}
	syscall.Write(1, []byte("running\n"))
	var in [1]byte
	for {
		n, err := syscall.Read(0, in[:])
		if err == syscall.EINTR {
			continue
		}
		if n != 1 {
			return
		}
		if in[0] == '\n' {
			syscall.Write(1, []byte("still running\n"))
		}
	}
}
