package clients

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// inNode runs one of the clients of client.mjs.
func inNode(name string) client {
	return func(ctx context.Context, url string, deliver func(event, data string)) error {
		cmd := exec.CommandContext(ctx, "node", "--no-warnings", "--experimental-eventsource", "node/client.mjs", name, url)
		cmd.Env = append(os.Environ(), "NODE_TLS_REJECT_UNAUTHORIZED=0")
		return readEvents(cmd, deliver)
	}
}

// program runs a program that gets the URL as its last argument.
func program(name string, args ...string) client {
	return func(ctx context.Context, url string, deliver func(event, data string)) error {
		return readEvents(exec.CommandContext(ctx, name, append(slices.Clone(args), url)...), deliver)
	}
}

// python runs a program with Debian's own Python, for which Debian has the packages.
func python(name string) client { return program("/usr/bin/python3", "python/"+name) }

// java runs one of the clients of Client.java.
func java(name string) client {
	return program("java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
		"-cp", "/usr/share/java/okhttp.jar:/usr/share/java/okio.jar", "java/Client.java", name)
}

// readEvents runs a program that writes each event as a line of JSON.
func readEvents(cmd *exec.Cmd, deliver func(event, data string)) error {
	return readLines(cmd, func(line string) error {
		var e struct{ Event, Data string }
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			return fmt.Errorf("%w in %q", err, line)
		}
		if e.Event == "closed" {
			return errClosed
		}
		deliver(e.Event, e.Data)
		return nil
	})
}

// readLines runs a program until it ends, and passes on its lines.
func readLines(cmd *exec.Cmd, take func(line string) error) error {
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	scanner := bufio.NewScanner(out)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		if err := take(scanner.Text()); err != nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			return err
		}
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w: %s", cmd.Args[0], err, stderr.String())
	}
	return nil
}

// curl shows what a client without event support needs: to read lines, and to
// reconnect with the last id.
func curl(options ...string) client {
	return func(ctx context.Context, url string, deliver func(event, data string)) error {
		var last string
		for ctx.Err() == nil {
			var id, event, data string
			args := append([]string{"-sSN", "-H", "Last-Event-ID: " + last, url}, options...)
			// it ends with an error if the connection is reset or refused
			_ = readLines(exec.CommandContext(ctx, "curl", args...), func(line string) error {
				field, value, _ := strings.Cut(line, ": ")
				switch field {
				case "id":
					id = value
				case "event":
					event = value
				case "data":
					data = value
				case "":
					if id != "" {
						last = id
					}
					deliver(event, data)
					id, event, data = "", "", ""
				}
				return nil
			})
			sleep(ctx, pause)
		}
		return nil
	}
}
