// held-by-handler: a deployer waits for an approval that comes through the closure of a web handler, and none is given yet.
//
//goflow:class correct
package main

import (
	"net/http"
	"time"
)

type deployment struct {
	version  int
	approved chan string
}

func (d *deployment) await() string {
	return <-d.approved
}

func approvalHandler(waiting map[string]*deployment) http.Handler {
	mux := http.NewServeMux()
	for name, d := range waiting {
		approved := d.approved
		mux.HandleFunc("/approve/"+name, func(w http.ResponseWriter, r *http.Request) {
			select {
			case approved <- r.RemoteAddr:
			default:
				w.WriteHeader(http.StatusConflict)
			}
		})
	}
	return mux
}

func heldByHandler() {
	shop, blog := &deployment{1, make(chan string, 1)}, &deployment{7, make(chan string, 1)}
	url := serve(approvalHandler(map[string]*deployment{"shop": shop, "blog": blog}))
	go shop.await()
	go blog.await()
	for range time.Tick(100 * time.Millisecond) {
		get(url + "/approve/unknown")
	}
}

func init() { kernels["held-by-handler"] = heldByHandler }
