// Package proc reads the resource usage of processes from /proc.
package proc

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Group is the processes of one server, by pid.
type Group []int

// Family returns a process and its children.
func Family(pid int) Group {
	pids := Group{pid}
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, task := range tasks {
		content, err := os.ReadFile(task)
		if err != nil {
			continue
		}
		for child := range strings.FieldsSeq(string(content)) {
			if n, err := strconv.Atoi(child); err == nil {
				pids = append(pids, n)
			}
		}
	}
	return pids
}

// CPU returns how much CPU time the processes have used.
func (g Group) CPU() time.Duration {
	// schedstat is exact, while stat counts in steps of 10 ms; it misses threads
	// that have ended, but servers keep theirs
	var total time.Duration
	for _, pid := range g {
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
		for _, task := range tasks {
			content, err := os.ReadFile(task)
			if err != nil {
				continue
			}
			running, _, _ := strings.Cut(string(content), " ")
			n, _ := strconv.ParseInt(running, 10, 64)
			total += time.Duration(n)
		}
	}
	return total
}

// Memory returns the proportional set size in bytes.
func (g Group) Memory() int64 { return g.sum("smaps_rollup", "Pss:") }

// Resident returns the resident set size in bytes.
func (g Group) Resident() int64 { return g.sum("status", "VmRSS:") }

// Peak returns the highest resident set size so far, in bytes.
func (g Group) Peak() int64 { return g.sum("status", "VmHWM:") }

// sum adds up one line of a /proc file over all processes.
func (g Group) sum(file, key string) (total int64) {
	for _, pid := range g {
		f, err := os.Open(fmt.Sprintf("/proc/%d/%s", pid, file))
		if err != nil {
			continue
		}
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			if rest, ok := strings.CutPrefix(lines.Text(), key); ok {
				kb, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
				total += kb << 10
				break
			}
		}
		f.Close()
	}
	return total
}

// Descriptors returns the number of open descriptors.
func (g Group) Descriptors() (n int) {
	for _, pid := range g {
		entries, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
		n += len(entries)
	}
	return n
}
