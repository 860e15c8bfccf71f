// Load puts a bounded load on the demo service: a fixed number of clients, each sending one request at a time with a
// short pause, for at most the given time. What one sees: nothing, and at the end one line of totals.
package main

import (
	"flag"
	"fmt"
	"io"
	"math/rand"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

func main() {
	url := flag.String("url", "http://127.0.0.1:8080", "where the service listens")
	clients := flag.Int("clients", 24, "requests under way at once")
	pause := flag.Duration("pause", 60*time.Millisecond, "mean pause of a client between two requests")
	howLong := flag.Duration("for", 2*time.Minute, "when to end")
	flag.Parse()

	end := time.Now().Add(*howLong)
	transport := &http.Transport{MaxIdleConnsPerHost: *clients}
	client := &http.Client{Transport: transport, Timeout: 2 * time.Second}
	var answered, failed uint64
	var all sync.WaitGroup
	for i := 0; i < *clients; i++ {
		all.Add(1)
		go func(random *rand.Rand) {
			defer all.Done()
			for time.Now().Before(end) {
				if request(client, *url+path(random)) {
					atomic.AddUint64(&answered, 1)
				} else {
					atomic.AddUint64(&failed, 1)
				}
				time.Sleep(time.Duration(random.Int63n(int64(2 * *pause))))
			}
		}(rand.New(rand.NewSource(int64(i))))
	}
	all.Wait()
	fmt.Printf("%d answered, %d failed\n", answered, failed)
	if answered == 0 {
		os.Exit(1)
	}
}

// path: eight of ten requests order something, the others look at prices or at the stock.
func path(random *rand.Rand) string {
	switch n := random.Intn(10); {
	case n < 8:
		return "/order?item=" + []string{"book", "lamp", "pen"}[random.Intn(3)]
	case n == 8:
		return "/quote"
	default:
		return "/stock"
	}
}

func request(client *http.Client, url string) bool {
	response, err := client.Get(url)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	// The body is read so that the connection can be used again.
	_, err = io.Copy(io.Discard, response.Body)
	return err == nil && response.StatusCode == http.StatusOK
}
