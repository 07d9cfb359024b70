package postgres

import (
	"context"
	"fmt"
	"syscall"

	"github.com/jackc/pgx/v5"
)

// Headroom is the space on a disk, in bytes.
type Headroom struct {
	// Free is what an ordinary user may still take.
	Free uint64
	// Total is the disk's size.
	Total uint64
}

// DiskHeadroom measures the disk under a folder.
func DiskHeadroom(dir string) (Headroom, error) {
	var stat syscall.Statfs_t
	if err := syscall.Statfs(dir, &stat); err != nil {
		return Headroom{}, fmt.Errorf("measure the disk: %w", err)
	}
	size := uint64(stat.Bsize) //nolint:gosec // the kernel gives no negative size
	return Headroom{Free: stat.Bavail * size, Total: stat.Blocks * size}, nil
}

const canCommitSQL = `
UPDATE hub.probe SET at = hub.hub_now() WHERE only_row`

// roomSQL writes half a megabyte beside the data and lets it go. A full disk lets the probe's row be
// changed in its page for a long time, while nothing new can be stored.
const roomSQL = `
SELECT count(*) FROM generate_series(1, 20000)`

// CanCommit writes one row and commits it, for readiness: a server that is read-only, full or a
// standby answers SELECT gladly. A disk that was full is known to have room again after it.
func (s *Store) CanCommit(ctx context.Context) error {
	begun := s.full.begin()
	var trip pgx.Batch
	trip.Queue("BEGIN")
	trip.Queue("SET LOCAL work_mem = '64kB'")
	trip.Queue("SET LOCAL temp_tablespaces = ''")
	trip.Queue(roomSQL)
	trip.Queue(canCommitSQL)
	trip.Queue("COMMIT")
	err := s.inTrip(ctx, &trip)
	if err != nil {
		return fmt.Errorf("commit a probe: %w", masked(err))
	}
	s.full.end(begun)
	return nil
}

const ensurePartitionsSQL = `
SELECT hub.ensure_partitions($1)`

// EnsurePartitions makes the monthly partitions from last month to that many months ahead (at
// most 24). Call it at start and daily: a month without a partition refuses every event.
func (s *Store) EnsurePartitions(ctx context.Context, months int) error {
	if _, err := s.pool.Exec(ctx, ensurePartitionsSQL, months); err != nil {
		return fmt.Errorf("make partitions: %w", masked(err))
	}
	return nil
}
