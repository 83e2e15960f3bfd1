// react-native-sse without React Native.
import { readFileSync } from 'node:fs';
import { deliver, require } from './stream.mjs';
import { XMLHttpRequest } from './xhr.mjs';

/** It gives up when a connection is refused, and then says so with status 0. */
export const reactNative = async (url) => {
  globalThis.XMLHttpRequest = XMLHttpRequest;
  // only React Native's bundler takes it as it is
  const code = readFileSync(require.resolve('react-native-sse/src/EventSource.js'), 'utf8');
  const { default: EventSource } = await import('data:text/javascript,' + encodeURIComponent(code));
  const source = new EventSource(url);
  for (const event of ['message', 'gap']) {
    source.addEventListener(event, ({ data }) => deliver(event, data));
  }
  source.addEventListener('error', ({ xhrStatus }) => {
    if (xhrStatus === 0) setTimeout(() => source.open(), 1000);
  });
};
