// read-deadline: a client waits for a reply that never comes, with a deadline of fifteen seconds on the connection, and dials again then.
//
//goflow:class correct
package main

import (
	"net"
	"time"
)

type deafServer struct {
	listener net.Listener
	conns    []net.Conn
}

func (s *deafServer) acceptAll() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		for _, old := range s.conns {
			old.Close()
		}
		s.conns = append(s.conns[:0], conn)
	}
}

func askWithDeadline(address string, limit time.Duration) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(limit))
	_, err = conn.Read(make([]byte, 64))
	return err
}

func readDeadline() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go (&deafServer{listener: listener}).acceptAll()
	for {
		askWithDeadline(listener.Addr().String(), 15*time.Second)
	}
}

func init() { kernels["read-deadline"] = readDeadline }
