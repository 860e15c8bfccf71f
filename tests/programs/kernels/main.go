// Kernels is a corpus of small services: some hang, leak or stall in a known place, others only look as if they did.
//
// What one sees: "running", after which the kernel named on the command line runs on the main goroutine. A kernel that
// hangs does so within 300 ms, and no kernel ends the process: it ends with 0 when stdin closes. `kernels -list` prints
// the names. What goes wrong in a kernel, and at which lines, stands in the comments of the file of that name:
// `//goflow:class` is the kind of the fault (or `correct`), `//goflow:expect` are the rules of which any one finds it,
// `// stuck` is a line where one goroutine stays for good (`// stuck: 3` where three do), and `// here` is a line to
// blame for what is not a goroutine being stuck.
package main

import (
	"fmt"
	"io"
	"os"
	"sort"
)

// kernels has an entry from the init function of each kernel's file.
var kernels = map[string]func(){}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: kernels NAME, or kernels -list")
		os.Exit(2)
	}
	if os.Args[1] == "-list" {
		printNames()
		return
	}
	kernel, found := kernels[os.Args[1]]
	if !found {
		fmt.Fprintf(os.Stderr, "kernels: no kernel is named %q\n", os.Args[1])
		os.Exit(2)
	}
	ended := make(chan struct{})
	go func() {
		io.Copy(io.Discard, os.Stdin)
		close(ended)
		os.Exit(0)
	}()
	fmt.Println("running")
	kernel()
	<-ended
}

func printNames() {
	var names []string
	for name := range kernels {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		fmt.Println(name)
	}
}
