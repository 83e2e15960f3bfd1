// Command answer writes standard input into one message, piece by piece as it comes. It
// repeats a piece whose outcome is unknown with the same nonce, so none is lost and none
// comes twice.
//
//	some-model | go run ./examples/answer -site http://localhost:3000 -room tea
package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
	"unicode/utf8"
)

type answer struct {
	url string // of /update, with the room
	key string // whose the message is
	id  string // of the message, once it is stored

	held string // white space, with which alone a message cannot begin
	size int    // bytes of the message
}

// maxText is less than a message may have by default. Longer answers go on in another
// message.
const maxText = 8000

func main() {
	site := flag.String("site", "http://localhost:3000", "URL of the chat")
	room := flag.String("room", "lobby", "room to write to")
	flag.Parse()
	a := &answer{url: *site + "/update?room=" + url.QueryEscape(*room), key: rand.Text()}
	if err := a.write(os.Stdin); err != nil {
		log.Fatal(err)
	}
}

// write writes all that can be read from a model.
func (a *answer) write(model io.Reader) error {
	buf := make([]byte, 4<<10)
	var rest []byte // of a character whose end has not come yet
	for {
		n, err := model.Read(buf)
		piece := append(rest, buf[:n]...)
		whole := len(piece)
		for end := max(0, whole-utf8.UTFMax); whole > end && !utf8.Valid(piece[:whole]); {
			whole--
		}
		rest = append([]byte(nil), piece[whole:]...)
		if whole > 0 {
			if err := a.add(string(piece[:whole])); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// add adds a piece to the message, which begins with the first one.
func (a *answer) add(piece string) error {
	nonce := rand.Text()
	if a.size+len(piece) > maxText {
		a.id, a.size = "", 0
	}
	a.size += len(piece)
	if a.id != "" {
		_, err := a.send(http.MethodPatch, a.url+"&id="+a.id, map[string]string{"append": piece, "nonce": nonce})
		return err
	}
	if a.held += piece; strings.TrimSpace(a.held) == "" {
		return nil
	}
	var err error
	a.id, err = a.send(http.MethodPost, a.url, map[string]string{"text": a.held, "name": "bot", "nonce": nonce})
	a.held = ""
	return err
}

// send sends a message or change until it is answered, and returns the message's id.
func (a *answer) send(method, url string, message map[string]string) (id string, err error) {
	body, err := json.Marshal(message)
	if err != nil {
		return "", err
	}
	for {
		id, err := a.try(method, url, body)
		if !errors.Is(err, errUnknown) {
			return id, err
		}
		log.Print(err)
		time.Sleep(time.Second)
	}
}

// errUnknown is returned if a message may or may not be stored.
var errUnknown = errors.New("not answered")

func (a *answer) try(method, url string, body []byte) (id string, err error) {
	request, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	request.Header.Set("Authorization", "Author-Key "+a.key)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", fmt.Errorf("%w: %w", errUnknown, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	switch {
	case err != nil:
		return "", fmt.Errorf("%w: %w", errUnknown, err)
	case response.StatusCode >= 500 || response.StatusCode == http.StatusTooManyRequests:
		return "", fmt.Errorf("%w: %s", errUnknown, response.Status)
	case response.StatusCode != http.StatusOK:
		return "", fmt.Errorf("%s: %s", response.Status, text)
	}
	var stored struct{ ID string }
	return stored.ID, json.Unmarshal(text, &stored)
}
