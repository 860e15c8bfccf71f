// accept-loop-idle: a server waits for connections, and its idle workers wait for what the accept loop on main hands them.
//
//goflow:class correct
package main

import "net"

type echoServer struct {
	listener net.Listener
	conns    chan net.Conn
}

func (s *echoServer) work() {
	for conn := range s.conns {
		buffer := make([]byte, 512)
		for {
			n, err := conn.Read(buffer)
			if err != nil {
				break
			}
			conn.Write(buffer[:n])
		}
		conn.Close()
	}
}

func (s *echoServer) acceptAll() {
	defer close(s.conns)
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.conns <- conn
	}
}

func acceptLoopIdle() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	server := &echoServer{listener: listener, conns: make(chan net.Conn)}
	for i := 0; i < 4; i++ {
		go server.work()
	}
	server.acceptAll()
}

func init() { kernels["accept-loop-idle"] = acceptLoopIdle }
