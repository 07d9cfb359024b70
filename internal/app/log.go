package app

import (
	"io"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// newLogger makes the JSON log: one line an event, UTC RFC 3339 with Z (AGID RAC_GEN_LOG_01).
func newLogger(level string, out io.Writer, version string) *zap.Logger {
	encoder := zap.NewProductionEncoderConfig()
	encoder.TimeKey = "time"
	encoder.EncodeTime = func(t time.Time, e zapcore.PrimitiveArrayEncoder) {
		e.AppendString(t.UTC().Format("2006-01-02T15:04:05.000Z"))
	}
	at, err := zapcore.ParseLevel(level)
	if err != nil {
		at = zapcore.InfoLevel
	}
	core := zapcore.NewCore(zapcore.NewJSONEncoder(encoder), zapcore.Lock(zapcore.AddSync(out)), at)
	return zap.New(core).With(zap.String("service", "sinbahub"), zap.String("version", version))
}

// buildInfo is hub_build_info, always 1.
func buildInfo(version string) prometheus.Collector {
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "hub_build_info", Help: "Version of the running hub.",
		ConstLabels: prometheus.Labels{"version": version},
	})
	info.Set(1)
	return info
}
