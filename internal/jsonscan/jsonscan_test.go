package jsonscan

import (
	"encoding/json"
	"testing"
)

// The end of a value is where encoding/json finds it.
func FuzzValueEnd(f *testing.F) {
	for _, value := range []string{`""`, `"a\"b"`, `"\\"`, `"\\\""`, `17`, `-1e5`, `true`, `{}`, `[]`, `{"a":[1,"}]"],"b":{"c":"\\"}}`, `[[],{}," "]`} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		var compact json.RawMessage
		if json.Unmarshal([]byte(value), &compact) != nil {
			return
		}
		for _, rest := range []string{"}", ",\"b\":1}", " }", "]", "\n]"} {
			if end := ValueEnd([]byte(string(compact) + rest)); end != len(compact) {
				t.Fatalf("the end of %s%s is %d, want %d", compact, rest, end, len(compact))
			}
		}
	})
}
