package app

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"os"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/sinbahub/sinbahub/internal/opener"
)

// openerConfig is the file of the demo's opener: a marker in its command line, as of the other parts.
func (d *demo) openerConfig() string { return d.path("opener.yaml") }

// openerPid is the process of the opener that was started last; 0 if that is not known. The kernel shows
// nobody which program a process runs that closed itself, so one that is only found by its command line,
// as after the loss of run.json, is asked through its socket who it is.
func (d *demo) openerPid(ctx context.Context) int {
	if known := d.run.Pids.Opener; known != nil && ours(*known, d.openerConfig()) {
		return *known
	}
	socket, err := OpenerSocket(d.cfg)
	if err != nil {
		return 0
	}
	return opener.NewClient(socket).Pid(ctx)
}

// upOpener starts the opener if it does not run. It gets the password of its role in a file of its own,
// which serve does not read.
func (d *demo) upOpener(ctx context.Context) error {
	socket, err := OpenerSocket(d.cfg)
	if err != nil {
		return err
	}
	_, gid, err := openerUser(d.cfg.Opener.User)
	if err != nil {
		return err
	}
	if err := d.cluster.LetIn(gid); err != nil {
		return err
	}
	d.run.OpenerSocket = socket
	client := opener.NewClient(socket)
	defer client.Close()
	if pid := d.openerPid(ctx); ours(pid, d.openerConfig()) {
		d.run.Pids.Opener = &pid
		if client.Alive(ctx) == nil {
			return nil
		}
		if err := stopProcess(ctx, pid, startPatience); err != nil {
			return err
		}
	}
	if info, err := os.Lstat(socket); err == nil && info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("start the opener: %s: %w", socket, opener.ErrNoSocket)
	}
	text, err := yaml.Marshal(map[string]any{
		"environment": "PROD", "var": d.varDir, "log": map[string]any{"level": d.cfg.Log.Level},
		"opener": map[string]any{
			"socket": socket, "keys": cmp.Or(d.cfg.Opener.Keys, d.path("keys", "opener")), "people": d.cfg.Opener.People,
			"codes": cmp.Or(d.cfg.Opener.Codes, d.path("keys")), "key_command": d.cfg.Opener.KeyCommand, "database_url": d.cluster.OpenerDSN(), "user": d.cfg.Opener.User,
			"uids": d.cfg.Opener.UIDs, "gids": d.cfg.Opener.GIDs, "rate": d.cfg.Opener.Rate,
		},
	})
	if err != nil {
		return fmt.Errorf("write the opener's configuration: %w", err)
	}
	if err := writeOwnerFile(d.openerConfig(), text); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find own binary: %w", err)
	}
	pid, err := startDetached(self, d.path("log", "opener.log"), nil, "--config", d.openerConfig(), "opener")
	if err != nil {
		return err
	}
	d.run.Pids.Opener = &pid
	return d.awaitOpener(ctx, client, pid)
}

// awaitOpener waits until the opener answers, and fails at once if it is gone.
func (d *demo) awaitOpener(ctx context.Context, client *opener.Client, pid int) error {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		if client.Alive(ctx) == nil {
			return nil
		}
		if !running(pid) {
			return fmt.Errorf("the opener did not start: see %s", d.path("log", "opener.log"))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the opener runs but does not answer: see %s", d.path("log", "opener.log"))
		case <-ticker.C:
		}
	}
}
