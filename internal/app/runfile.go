package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// RunFile is var/run.json: where everything that runs can be found, for people and tools. Keys
// of parts that are not built yet are null.
type RunFile struct {
	SoapURL          string           `json:"soap_url"`
	WSDLURL          string           `json:"wsdl_url"`
	AdminURL         string           `json:"admin_url"`
	ConsoleURL       *string          `json:"console_url"`
	SissURL          string           `json:"siss_url"`
	SissControlURL   string           `json:"siss_control_url"`
	SissReceivedFile string           `json:"siss_received_file"`
	DatabaseURL      string           `json:"database_url"`
	OpenerSocket     string           `json:"opener_socket"`
	Pids             RunPids          `json:"pids"`
	CAFile           *string          `json:"ca_file"`
	Participants     []RunParticipant `json:"participants"`
	ConsoleUsers     []struct{}       `json:"console_users"`
}

// RunPids are the processes by name; null if not built yet.
type RunPids struct {
	Serve    int  `json:"serve"`
	Opener   *int `json:"opener"`
	Console  *int `json:"console"`
	SissSim  int  `json:"siss_sim"`
	Postgres int  `json:"postgres"`
}

// RunParticipant is one of the demo's senders.
type RunParticipant struct {
	Name            string  `json:"name"`
	Ente            string  `json:"ente"`
	APIUser         string  `json:"api_user"`
	APIPasswordFile string  `json:"api_password_file"`
	ClientCert      *string `json:"client_cert"`
	ClientKey       *string `json:"client_key"`
}

// runFilePath is where the file of a var folder stands.
func runFilePath(varDir string) string { return filepath.Join(varDir, "run.json") }

// ReadRunFile reads it. ok is false if there is none, or none that can be read: what runs is then
// found by its command line.
func ReadRunFile(varDir string) (run RunFile, ok bool, err error) {
	text, err := os.ReadFile(filepath.Clean(runFilePath(varDir)))
	if errors.Is(err, fs.ErrNotExist) {
		return RunFile{}, false, nil
	}
	if err != nil {
		return RunFile{}, false, fmt.Errorf("read run file: %w", err)
	}
	if ok = json.Unmarshal(text, &run) == nil; !ok {
		run = RunFile{}
	}
	return run, ok, nil
}

// write replaces the file in one step, readable by its owner only.
func (r RunFile) write(varDir string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("write run file: %w", err)
	}
	return writeOwnerFile(runFilePath(varDir), append(text, '\n'))
}

// writeOwnerFile writes a file of mode 0600 by rename, so that a reader sees all or nothing.
func writeOwnerFile(path string, text []byte) error {
	if err := replaceFile(path, text); err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	return nil
}

func replaceFile(path string, text []byte) error {
	file, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600) //nolint:gosec // our own folder
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	// Without the sync a power cut could leave an empty file behind the rename.
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// running tells whether a process lives (a zombie does not).
func running(pid int) bool {
	if pid <= 0 || syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return true
	}
	// The state follows the command name, which is in parentheses and may hold blanks.
	for i := len(stat) - 1; i > 0; i-- {
		if stat[i] == ')' {
			return i+2 >= len(stat) || stat[i+2] != 'Z'
		}
	}
	return true
}
