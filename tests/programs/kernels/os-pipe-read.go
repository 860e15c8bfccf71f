// os-pipe-read: a log follower waits in a read of a pipe, into which its writer puts a line every few seconds.
//
//goflow:class correct
package main

import (
	"bufio"
	"os"
	"sync/atomic"
	"time"
)

type logFollower struct {
	input *os.File
	lines int64
}

func (f *logFollower) follow(ended chan<- error) {
	input := bufio.NewReader(f.input)
	for {
		if _, err := input.ReadString('\n'); err != nil {
			ended <- err
			return
		}
		atomic.AddInt64(&f.lines, 1)
	}
}

func osPipeRead() {
	input, output, err := os.Pipe()
	if err != nil {
		panic(err)
	}
	ended := make(chan error)
	go (&logFollower{input: input}).follow(ended)
	go func() {
		for {
			output.WriteString("request served\n")
			time.Sleep(7 * time.Second)
		}
	}()
	<-ended
}

func init() { kernels["os-pipe-read"] = osPipeRead }
