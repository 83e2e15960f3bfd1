package chattest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"testing"
)

// AccessLog reads the lines of an access log, as far as they are written, by their
// URIs.
func AccessLog(t testing.TB, file string) map[string]map[string]any {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	lines := make(map[string]map[string]any)
	for line := range bytes.Lines(content) {
		var entry map[string]any
		if json.Unmarshal(line, &entry) != nil {
			continue // not all of it is written yet
		}
		request, _ := entry["request"].(map[string]any)
		lines[fmt.Sprint(request["uri"])] = entry
	}
	return lines
}
