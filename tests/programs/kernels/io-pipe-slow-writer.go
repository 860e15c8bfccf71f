// io-pipe-slow-writer: a decoder reads from an io.Pipe whose writer has a record every five seconds.
//
//goflow:class correct
package main

import (
	"encoding/json"
	"io"
	"time"
)

type pipedRecord struct{ ID int }

func decodeRecords(input io.Reader) (last int, err error) {
	decoder := json.NewDecoder(input)
	for {
		var record pipedRecord
		if err := decoder.Decode(&record); err != nil {
			return last, err
		}
		last = record.ID
	}
}

func ioPipeSlowWriter() {
	input, output := io.Pipe()
	go decodeRecords(input)
	encoder := json.NewEncoder(output)
	for id := 1; ; id++ {
		encoder.Encode(pipedRecord{id})
		time.Sleep(5 * time.Second)
	}
}

func init() { kernels["io-pipe-slow-writer"] = ioPipeSlowWriter }
