package main

import (
	"context"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"time"
)

func unbuffered() {
	ping, pong := make(chan int), make(chan int)
	go func() {
		for n := range ping {
			pong <- n + 1
		}
		close(pong)
	}()
	for n := 0; n < 2000; n++ {
		ping <- n
		<-pong
	}
	close(ping)
	<-pong
}

func buffered() {
	stage1, stage2 := make(chan int, 16), make(chan int, 4)
	go func() {
		for n := 0; n < 4000; n++ {
			stage1 <- n
		}
		close(stage1)
	}()
	go func() {
		for n := range stage1 {
			work(1)
			stage2 <- n
		}
		close(stage2)
	}()
	for range stage2 {
	}
}

func selects() {
	var inputs [12]chan int
	done := make(chan struct{})
	for i := range inputs {
		inputs[i] = make(chan int)
		go func(c chan int, i int) {
			for n := 0; n < 100; n++ {
				select {
				case c <- n:
				case <-done:
					return
				}
				time.Sleep(time.Duration(i*10) * time.Microsecond)
			}
		}(inputs[i], i)
	}
	for got := 0; got < 1000; got++ {
		select {
		case <-inputs[0]:
		case <-inputs[1]:
		case <-inputs[2]:
		case <-inputs[3]:
		case <-inputs[4]:
		case <-inputs[5]:
		case <-inputs[6]:
		case <-inputs[7]:
		case <-inputs[8]:
		case <-inputs[9]:
		case <-inputs[10]:
		case <-inputs[11]:
		case <-time.After(time.Second):
			panic("nobody sends")
		}
	}
	close(done)
}

func mutex() {
	var lock sync.Mutex
	var all sync.WaitGroup
	for g := 0; g < 12; g++ {
		all.Add(1)
		go func() {
			defer all.Done()
			for n := 0; n < 200; n++ {
				lock.Lock()
				work(20)
				if n%10 == 0 {
					time.Sleep(50 * time.Microsecond)
				}
				lock.Unlock()
				work(5)
			}
		}()
	}
	all.Wait()
}

func rwmutex() {
	var lock sync.RWMutex
	var all sync.WaitGroup
	for g := 0; g < 12; g++ {
		all.Add(1)
		go func(writer bool) {
			defer all.Done()
			for n := 0; n < 100; n++ {
				if writer {
					lock.Lock()
					time.Sleep(20 * time.Microsecond)
					lock.Unlock()
				} else {
					lock.RLock()
					work(10)
					time.Sleep(10 * time.Microsecond)
					lock.RUnlock()
				}
			}
		}(g%4 == 0)
	}
	all.Wait()
}

func waitgroup() {
	for round := 0; round < 100; round++ {
		var group, waiters sync.WaitGroup
		group.Add(4)
		for g := 0; g < 3; g++ {
			waiters.Add(1)
			go func() { group.Wait(); waiters.Done() }()
		}
		for g := 0; g < 4; g++ {
			go func() { work(30); group.Done() }()
		}
		waiters.Wait()
	}
}

func cond() {
	var lock sync.Mutex
	turn, changed := 0, sync.NewCond(&lock)
	var all sync.WaitGroup
	const players = 6
	for g := 0; g < players; g++ {
		all.Add(1)
		go func(me int) {
			defer all.Done()
			for n := 0; n < 100; n++ {
				lock.Lock()
				for turn%players != me {
					changed.Wait()
				}
				turn++
				changed.Broadcast()
				lock.Unlock()
			}
		}(g)
	}
	all.Wait()
}

func timers() {
	var all sync.WaitGroup
	for g := 0; g < 8; g++ {
		all.Add(1)
		go func(g int) {
			defer all.Done()
			ticker := time.NewTicker(time.Duration(200+g*50) * time.Microsecond)
			defer ticker.Stop()
			for n := 0; n < 50; n++ {
				<-ticker.C
				time.Sleep(30 * time.Microsecond)
				<-time.After(20 * time.Microsecond)
			}
		}(g)
	}
	all.Wait()
}

func contexts() {
	for round := 0; round < 40; round++ {
		parent, cancel := context.WithCancel(context.Background())
		var all sync.WaitGroup
		for g := 0; g < 8; g++ {
			all.Add(1)
			go func(g int) {
				defer all.Done()
				child, stop := context.WithTimeout(parent, time.Duration(200+g*100)*time.Microsecond)
				defer stop()
				<-child.Done()
			}(g)
		}
		time.Sleep(500 * time.Microsecond)
		cancel()
		all.Wait()
	}
}

func network() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	var all sync.WaitGroup
	const clients = 6
	all.Add(2 * clients)
	go func() {
		for c := 0; c < clients; c++ {
			connection, err := listener.Accept()
			check(err)
			go func() {
				defer all.Done()
				io.Copy(connection, connection)
				connection.Close()
			}()
		}
	}()
	for c := 0; c < clients; c++ {
		go func() {
			defer all.Done()
			connection, err := net.Dial("tcp", listener.Addr().String())
			check(err)
			buffer := make([]byte, 64)
			for n := 0; n < 200; n++ {
				connection.Write(buffer)
				_, err := io.ReadFull(connection, buffer)
				check(err)
			}
			connection.Close()
		}()
	}
	all.Wait()
	listener.Close()
}

func syscalls() {
	var all sync.WaitGroup
	for g := 0; g < 4; g++ {
		all.Add(1)
		go func() {
			defer all.Done()
			read, write, err := os.Pipe()
			check(err)
			null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
			check(err)
			go func() {
				for n := 0; n < 200; n++ {
					if n%10 == 0 {
						time.Sleep(20 * time.Microsecond)
					}
					write.Write([]byte("x"))
					null.Write([]byte("y"))
				}
				write.Close()
			}()
			io.Copy(io.Discard, read)
			read.Close()
			null.Close()
		}()
	}
	all.Wait()
}

// fanout does what errgroup does: a goroutine for each part, the first failure cancels the others.
func fanout() {
	for round := 0; round < 50; round++ {
		ctx, cancel := context.WithCancel(context.Background())
		var group sync.WaitGroup
		var once sync.Once
		limit := make(chan struct{}, 4)
		for part := 0; part < 16; part++ {
			limit <- struct{}{}
			group.Add(1)
			go func(part int) {
				defer func() { <-limit; group.Done() }()
				if part == 13 {
					once.Do(cancel)
					return
				}
				select {
				case <-ctx.Done():
				case <-time.After(50 * time.Microsecond):
				}
			}(part)
		}
		group.Wait()
		cancel()
	}
}

func pool() {
	jobs, results := make(chan int, 8), make(chan int)
	var workers sync.WaitGroup
	for w := 0; w < 5; w++ {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for job := range jobs {
				work(20)
				results <- job
			}
		}()
	}
	go func() {
		for job := 0; job < 1500; job++ {
			jobs <- job
		}
		close(jobs)
		workers.Wait()
		close(results)
	}()
	for range results {
		work(5)
	}
}

func many() {
	gate := make(chan struct{})
	var all sync.WaitGroup
	for g := 0; g < 10000; g++ {
		all.Add(1)
		go func() {
			defer all.Done()
			<-gate
		}()
	}
	time.Sleep(5 * time.Millisecond)
	close(gate)
	all.Wait()
}

type tree struct{ left, right *tree }

func grow(depth int) *tree {
	var pad [512]byte // so that the stack has to grow, and to shrink again
	runtime.KeepAlive(&pad)
	if depth == 0 {
		return &tree{}
	}
	return &tree{grow(depth - 1), grow(depth - 1)}
}

func collection() {
	var all sync.WaitGroup
	done := make(chan *tree)
	for g := 0; g < 4; g++ {
		all.Add(1)
		go func() {
			defer all.Done()
			for n := 0; n < 15; n++ {
				done <- grow(9)
				time.Sleep(100 * time.Microsecond)
			}
		}()
	}
	go func() { all.Wait(); close(done) }()
	for range done {
		runtime.GC()
	}
}
