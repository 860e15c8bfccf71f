// held-in-channel-buffer: the reply channels of waiting callers are only in the buffer of a queue, and its server wakes up every ten seconds.
//
//goflow:class correct
package main

import "time"

type batchedRequest struct {
	key   string
	reply chan<- int
}

type batchServer struct{ queue chan batchedRequest }

func (s *batchServer) ask(key string) int {
	reply := make(chan int)
	s.queue <- batchedRequest{key, reply}
	return <-reply
}

func (s *batchServer) run(pause time.Duration) {
	for {
		time.Sleep(pause)
		for n := len(s.queue); n > 0; n-- {
			request := <-s.queue
			request.reply <- len(request.key)
		}
	}
}

func heldInChannelBuffer() {
	server := &batchServer{queue: make(chan batchedRequest, 16)}
	go server.run(10 * time.Second)
	for _, key := range []string{"a", "bb", "ccc"} {
		go func(key string) {
			for {
				server.ask(key)
			}
		}(key)
	}
}

func init() { kernels["held-in-channel-buffer"] = heldInChannelBuffer }
