package app

import (
	"io"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// newLogger makes the JSON log: one line an event, UTC RFC 3339 with Z (AGID RAC_GEN_LOG_01).
// The level may be changed while it runs.
func newLogger(level string, out io.Writer, version string) (*zap.Logger, zap.AtomicLevel) {
	encoder := zap.NewProductionEncoderConfig()
	encoder.TimeKey = "time"
	encoder.EncodeTime = func(t time.Time, e zapcore.PrimitiveArrayEncoder) {
		e.AppendString(t.UTC().Format("2006-01-02T15:04:05.000Z"))
	}
	at := zap.NewAtomicLevelAt(levelOf(level))
	core := zapcore.NewCore(zapcore.NewJSONEncoder(encoder), zapcore.Lock(zapcore.AddSync(out)), at)
	return zap.New(core).With(zap.String("service", "sinbahub"), zap.String("version", version)), at
}

// levelOf reads a checked log.level.
func levelOf(text string) zapcore.Level {
	level, err := zapcore.ParseLevel(text)
	if err != nil {
		return zapcore.InfoLevel
	}
	return level
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
