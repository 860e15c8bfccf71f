// net-read-idle: a connection's reader waits for its peer, which says something every ten seconds.
//
//goflow:class correct
package main

import (
	"bufio"
	"fmt"
	"net"
	"time"
)

func lineServer(listener net.Listener, lines chan<- string) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			input := bufio.NewScanner(conn)
			for input.Scan() {
				lines <- input.Text()
			}
		}()
	}
}

func netReadIdle() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	lines := make(chan string)
	go lineServer(listener, lines)
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		panic(err)
	}
	go func() {
		for {
			fmt.Fprintln(conn, "status ok")
			time.Sleep(10 * time.Second)
		}
	}()
	for range lines {
	}
}

func init() { kernels["net-read-idle"] = netReadIdle }
