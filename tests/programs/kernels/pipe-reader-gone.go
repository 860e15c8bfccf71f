// pipe-reader-gone: a compressor writes to an io.Pipe whose reader returns after the header without closing its end.
//
//goflow:class leak
//goflow:expect goroutine-leak
package main

import (
	"compress/gzip"
	"errors"
	"io"
	"time"
)

func compress(data []byte) *io.PipeReader {
	reader, writer := io.Pipe()
	go func() {
		compressor := gzip.NewWriter(writer)
		compressor.Write(data) // stuck
		compressor.Close()
		writer.Close()
	}()
	return reader
}

func uploadCompressed(data []byte, limit int) error {
	body := compress(data)
	header := make([]byte, 2)
	if _, err := io.ReadFull(body, header); err != nil {
		return err
	}
	if len(data) > limit {
		return errors.New("too large to upload")
	}
	_, err := io.Copy(io.Discard, body)
	return err
}

func pipeReaderGone() {
	uploadCompressed([]byte("small"), 10)
	uploadCompressed([]byte("rather larger than the limit"), 10)
	heartbeat(50 * time.Millisecond)
}

func init() { kernels["pipe-reader-gone"] = pipeReaderGone }
