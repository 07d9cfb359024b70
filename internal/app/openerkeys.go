package app

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/sinbahub/sinbahub/internal/config"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
)

// The bounds of the command that prints the opener's keys.
const (
	keyCommandPatience = 30 * time.Second
	mostKeyOutput      = 64 << 10
)

// errKeyCommand says that the command gave no keys. What it said stays with it.
var errKeyCommand = errors.New("opener.key_command did not print the keys: it failed, took more than half a minute, or printed too much")

// loadOpenerKeys gives the private keys, from their folder or from a command, and the keys of codes if
// there are any.
func loadOpenerKeys(ctx context.Context, cfg config.Config, uid, gid int) (*pseudonym.OpenerKeys, *pseudonym.CodeKeys, error) {
	keys, err := privateKeys(ctx, cfg, uid, gid)
	if err != nil {
		return nil, nil, err
	}
	dir := cfg.Opener.Codes
	if dir == "" {
		dir = cfg.Keys.Dir
	}
	codes, err := pseudonym.LoadCodeKeys(dir, cfg.Env())
	if errors.Is(err, pseudonym.ErrNoKeys) && cfg.Opener.Codes == "" {
		return keys, nil, nil
	}
	return keys, codes, err
}

func privateKeys(ctx context.Context, cfg config.Config, uid, gid int) (*pseudonym.OpenerKeys, error) {
	if len(cfg.Opener.KeyCommand) == 0 {
		return pseudonym.LoadOpenerKeys(openerKeys(cfg), cfg.Env())
	}
	text, err := runKeyCommand(ctx, cfg.Opener.KeyCommand, keyCommandPatience, uid, gid)
	defer clear(text)
	if err != nil {
		return nil, err
	}
	return pseudonym.ParseOpenerKeys(text, cfg.Env())
}

// runKeyCommand runs a program, without a shell and with an empty environment, as the opener's own user,
// and gives what it printed. Its errors are not repeated, and its whole group ends with its time.
func runKeyCommand(ctx context.Context, command []string, patience time.Duration, uid, gid int) ([]byte, error) {
	if !filepath.IsAbs(command[0]) {
		return nil, errKeyCommand
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...) //nolint:gosec // the operator's own
	cmd.Env, cmd.Dir = []string{}, "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if syscall.Geteuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)} //nolint:gosec // an account's
	}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	// One array of its own, so that no copy of a key stays behind where it grew.
	out := &keyOutput{text: make([]byte, 0, mostKeyOutput)}
	cmd.Stdout = out
	if err := cmd.Run(); err != nil {
		clear(out.text)
		return nil, errKeyCommand
	}
	return bytes.TrimSpace(out.text), nil
}

// keyOutput takes what has room, and then fails.
type keyOutput struct{ text []byte }

// Write takes all of b or nothing.
func (w *keyOutput) Write(b []byte) (int, error) {
	if len(w.text)+len(b) > cap(w.text) {
		return 0, io.ErrShortWrite
	}
	w.text = append(w.text, b...)
	return len(b), nil
}
