// replies-to-moving-requests: two thousand wait for replies to requests that routers pass around without rest, in buffers, lists and on
// their stacks, so that no look at the memory finds all of them.
//
//goflow:class correct
package main

import "container/list"

type movingRequest struct {
	reply chan int
	hops  int
}

func routeRequests(in <-chan *movingRequest, out chan<- *movingRequest) {
	waiting := list.New()
	var slots [64]*movingRequest
	for next := 0; ; next++ {
		slot := &slots[next*7919%len(slots)]
		request := *slot
		*slot = <-in
		if request == nil {
			continue
		}
		waiting.PushBack(request)
		if waiting.Len() <= 100 {
			continue
		}
		oldest := waiting.Remove(waiting.Front()).(*movingRequest)
		oldest.hops++
		if oldest.hops > 200_000 {
			oldest.reply <- oldest.hops
			continue
		}
		out <- oldest
	}
}

func repliesToMovingRequests() {
	const routers, requests = 4, 2000
	var routes [routers]chan *movingRequest
	for i := range routes {
		routes[i] = make(chan *movingRequest, 2*requests)
	}
	for i := range routes {
		go routeRequests(routes[i], routes[(i+1)%routers])
	}
	for i := 0; i < requests; i++ {
		go func(route chan<- *movingRequest) {
			for {
				request := &movingRequest{reply: make(chan int)}
				route <- request
				<-request.reply
			}
		}(routes[i%routers])
	}
	select {}
}

func init() { kernels["replies-to-moving-requests"] = repliesToMovingRequests }
