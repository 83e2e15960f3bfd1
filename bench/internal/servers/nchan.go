package servers

import (
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

const nchanModule = "/usr/lib/nginx/modules/ngx_nchan_module.so"

func missingNchan() string {
	if _, err := os.Stat(nchanModule); err != nil {
		return "needs Debian's nginx and libnginx-mod-nchan: apt-get install nginx libnginx-mod-nchan"
	}
	if _, err := exec.LookPath("nginx"); err != nil {
		return "needs nginx in the PATH"
	}
	return ""
}

const nchanConfig = `load_module %[1]s;
%[2]s
daemon off;
worker_processes 2;
worker_rlimit_nofile %[3]d;
pid %[4]s/nginx.pid;
error_log stderr error;
events { worker_connections %[3]d; }
http {
	access_log off;
	client_body_temp_path %[4]s/body; proxy_temp_path %[4]s/proxy; fastcgi_temp_path %[4]s/fastcgi;
	uwsgi_temp_path %[4]s/uwsgi; scgi_temp_path %[4]s/scgi;
	client_body_buffer_size 64k;
	nchan_shared_memory_size 1G;
	keepalive_requests 1000000000;
	server {
		listen %[5]s;
		%[6]s
		location = /pub {
			nchan_publisher;
			nchan_channel_id lobby;
			nchan_message_buffer_length 1000;
			nchan_message_timeout 1h;
		}
		location = /sub {
			nchan_subscriber eventsource;
			nchan_channel_id lobby;
			nchan_subscriber_first_message newest;
		}
		location = /replay {
			nchan_subscriber eventsource;
			nchan_channel_id lobby;
			nchan_subscriber_first_message oldest;
		}
	}
}
`

// serveNchan becomes nginx.
func serveNchan(s Site) {
	var user, tls string
	if os.Getuid() == 0 {
		user = "user root;"
	}
	listen := s.Addr + " backlog=4096"
	if s.tls() {
		listen += " ssl http2"
		tls = fmt.Sprintf("ssl_certificate %s; ssl_certificate_key %s; ssl_protocols TLSv1.3;", s.Cert, s.Key)
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		log.Fatal(err)
	}
	file := filepath.Join(s.Dir, "nginx.conf")
	config := fmt.Sprintf(nchanConfig, nchanModule, user, limit.Max, s.Dir, listen, tls)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		log.Fatal(err)
	}
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(syscall.Exec(nginx, []string{"nginx", "-p", s.Dir, "-c", file}, os.Environ()))
}

func nchanRoom([]string) string { return "/sub" }

func nchanPublish(string) (path, header string) { return "/pub", "Content-Type: text/plain\r\n" }

func nchanBody(dst []byte, _, text string) []byte { return append(dst, text...) }

// reloadNginx replaces the workers.
func reloadNginx(_ Site, pid int) error { return syscall.Kill(pid, syscall.SIGHUP) }
