// As much of an XMLHttpRequest as react-native-sse uses, which behaves as React
// Native's: after an error, status is still what was received, and responseText is
// the error.
import http from 'node:http';

export class XMLHttpRequest {
  static LOADING = 3;
  static DONE = 4;

  readyState = 0;
  status = 0;
  responseText = '';
  onreadystatechange = () => {};
  onerror = () => {};
  #request;

  open(method, url) {
    this.#request = http.request(url, { method, agent: false });
  }

  setRequestHeader(name, value) {
    this.#request.setHeader(name, value);
  }

  send(body) {
    const fail = ({ message }) => {
      if (this.readyState === XMLHttpRequest.DONE) return;
      this.responseText = message;
      this.#become(XMLHttpRequest.DONE);
      this.onerror();
    };
    this.#request.on('error', fail);
    this.#request.on('response', (response) => {
      this.status = response.statusCode;
      response.setEncoding('utf8');
      response.on('error', fail);
      response.on('data', (text) => {
        this.responseText += text;
        this.#become(XMLHttpRequest.LOADING);
      });
      response.on('end', () => this.#become(XMLHttpRequest.DONE));
    });
    this.#request.end(body);
  }

  abort() {
    this.#request.destroy();
  }

  #become(state) {
    this.readyState = state;
    this.onreadystatechange();
  }
}
