// Package jsonscan finds the ends of values in valid JSON. encoding/json has nothing that
// does so without an allocation for each value.
package jsonscan

import "bytes"

// ValueEnd returns the end of the value at the start of s. What follows the value must be
// in s too, at least the end of the object or array that it is in.
func ValueEnd(s []byte) int {
	depth := 0
	for i := 0; ; i++ {
		switch s[i] {
		case '"':
			i += StringEnd(s[i:]) - 1
		case '{', '[':
			depth++
			continue
		case '}', ']':
			depth--
		default:
			if depth > 0 {
				continue
			}
			return i + bytes.IndexAny(s[i:], ",}] \t\r\n")
		}
		if depth == 0 {
			return i + 1
		}
	}
}

// StringEnd returns the end of the string at the start of s, behind its closing quote.
func StringEnd(s []byte) int {
	for end := 1; ; end++ {
		end += bytes.IndexByte(s[end:], '"')
		backslashes := end - len(bytes.TrimRight(s[:end], `\`))
		if backslashes%2 == 0 {
			return end + 1
		}
	}
}
