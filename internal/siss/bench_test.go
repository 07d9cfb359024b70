package siss_test

import (
	"context"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/sinbahub/sinbahub/internal/siss"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

// BenchmarkTransmit sends new events over kept-alive connections; client and simulator share
// the processors.
func BenchmarkTransmit(b *testing.B) {
	s, err := siss.Open(b.Context(), siss.Config{
		Received: filepath.Join(b.TempDir(), "received.jsonl"), Now: time.Now, Logger: zap.NewNop(),
	})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	event := national("SEGNALAZIONE", 1)
	b.SetParallelism(16)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			message := soap.AppendEnvelope(nil, soap.V12, []byte(transmit(uuid.New(), event)))
			r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL(), strings.NewReader(string(message)))
			if err != nil {
				b.Error(err)
				return
			}
			r.Header.Set("Content-Type", soap.V12.ContentType())
			response, err := client.Do(r)
			if err != nil {
				b.Error(err)
				return
			}
			body, err := io.ReadAll(response.Body)
			if err != nil || response.StatusCode != http.StatusOK || response.Body.Close() != nil {
				b.Errorf("answer %d %s", response.StatusCode, body)
				return
			}
		}
	})
	b.StopTimer()
	client.CloseIdleConnections()
	cancel()
	if err := <-done; err != nil {
		b.Error(err)
	}
}
