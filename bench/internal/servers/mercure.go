package servers

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"log"
	"net/url"
	"path/filepath"

	"github.com/dunglas/mercure"
	"go.uber.org/zap"
)

const (
	mercurePath = "/.well-known/mercure"
	mercureKey  = "this key is 256 bits long, no less"
	// mercureTopic is the topic of all readers if there are no rooms.
	mercureTopic = "https://bench.example/lobby"
)

// serveMercure serves a Mercure hub from its library, without Caddy: a little
// cheaper than the shipped version.
func serveMercure(s Site, bolt bool) {
	logger := zap.NewNop()
	var transport mercure.Transport = mercure.NewLocalTransport()
	if bolt {
		var err error
		if transport, err = mercure.NewBoltTransport(logger, filepath.Join(s.Dir, "mercure.db"), "", 1000, mercure.BoltDefaultCleanupFrequency); err != nil {
			log.Fatal(err)
		}
	}
	hub, err := mercure.NewHub(
		mercure.WithTransport(transport),
		mercure.WithAnonymous(),
		mercure.WithPublisherJWT([]byte(mercureKey), "HS256"),
		mercure.WithLogger(logger),
	)
	if err != nil {
		log.Fatal(err)
	}
	serveHTTP(s, hub)
}

func mercureTopics(rooms []string) string {
	if len(rooms) == 0 {
		return mercurePath + "?topic=" + url.QueryEscape(mercureTopic)
	}
	query := url.Values{"topic": rooms}
	return mercurePath + "?" + query.Encode()
}

// mercureHeader has a token that may publish everywhere.
var mercureHeader = func() string {
	encode := base64.RawURLEncoding.EncodeToString
	token := encode([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + encode([]byte(`{"mercure":{"publish":["*"]}}`))
	mac := hmac.New(sha256.New, []byte(mercureKey))
	mac.Write([]byte(token))
	return "Content-Type: application/x-www-form-urlencoded\r\nAuthorization: Bearer " + token + "." + encode(mac.Sum(nil)) + "\r\n"
}()

func mercurePublish(string) (path, header string) { return mercurePath, mercureHeader }

func mercureBody(dst []byte, room, text string) []byte {
	if room == "" {
		room = mercureTopic
	}
	dst = append(dst, "topic="...)
	dst = append(dst, url.QueryEscape(room)...)
	dst = append(dst, "&data="...)
	return append(dst, url.QueryEscape(text)...)
}
