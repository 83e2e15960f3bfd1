package wire

import (
	"strings"
	"testing"
)

func TestAuthorKey(t *testing.T) {
	const key, hash = "0123456789abcdefABCDEF", "rkI1lC64wrb5s0_0e_caesE-GNEYLSb7DPRGp1cNXAo"
	for name, test := range map[string]struct {
		values []string
		hash   string
		err    string
	}{
		"none":                        {nil, "", ""},
		"another scheme":              {[]string{"Bearer x", "Basic a2ltOnRlYQ==", "", "Author-Keys " + key, key}, "", ""},
		"a key":                       {[]string{"Author-Key " + key}, hash, ""},
		"a scheme in other letters":   {[]string{"author-KEY  " + key + " "}, hash, ""},
		"a key beside another scheme": {[]string{"Basic a2ltOnRlYQ==", "Author-Key " + key}, hash, ""},
		"two keys":                    {[]string{"Author-Key " + key, "Author-Key " + key}, "", "give one Author-Key, not several"},
		"no key":                      {[]string{"Author-Key"}, "", "must have 22 to 128 characters, not 0"},
		"a key that is too short":     {[]string{"Author-Key " + key[1:]}, "", "must have 22 to 128 characters, not 21"},
		"a key that is too long":      {[]string{"Author-Key " + strings.Repeat("x", 129)}, "", "must have 22 to 128 characters, not 129"},
		"a key with a space":          {[]string{"Author-Key " + key + " x"}, "", "only A-Z, a-z, 0-9, _ and - are allowed"},
		"a key in base64 with a +":    {[]string{"Author-Key " + key + "+"}, "", "only A-Z, a-z, 0-9, _ and - are allowed"},
		"a key with another letter":   {[]string{"Author-Key " + key + "é"}, "", "only A-Z, a-z, 0-9, _ and - are allowed"},
	} {
		got, err := AuthorKey(test.values)
		if got != test.hash || (err == nil) != (test.err == "") || err != nil && !strings.HasSuffix(err.Error(), test.err) {
			t.Errorf("%s: %q, %v; want %q, %q", name, got, err, test.hash, test.err)
		}
		if err != nil && strings.Contains(err.Error(), key[1:]) {
			t.Errorf("%s: the error %q tells the key", name, err)
		}
	}
	if _, err := AuthorKey([]string{"Author-Key " + strings.Repeat("x", 128)}); err != nil {
		t.Errorf("the longest key: %v", err)
	}
}
