// The page in Firefox, in steps. It writes the name of each, and goes on when the
// test, which has done its part, answers with a line.
import { createInterface } from 'node:readline';
import puppeteer from 'puppeteer-core';

const [url] = process.argv.slice(2);
const browser = await puppeteer.launch({ browser: 'firefox', executablePath: '/usr/bin/firefox-esr', headless: true });
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** @param {string} name of what is done */
const step = async (name) => {
  console.log(name);
  await lines.next();
};

try {
  const page = await browser.newPage();
  const faults = [];
  page.on('pageerror', (error) => faults.push(String(error)));
  page.on('console', (message) => { if (message.type() === 'error') faults.push(message.text()); });
  await page.evaluateOnNewDocument(() => {
    addEventListener('securitypolicyviolation', (event) => console.error(`policy: ${event.violatedDirective}`));
  });
  const connection = (state) => page.waitForFunction((is) => document.body.dataset.connection === is, {}, state);
  const shows = (texts) => page.waitForFunction((all) => {
    const rows = [...document.querySelectorAll('#messages .text')].map((text) => text.textContent);
    return rows.join('\n') === all.join('\n');
  }, {}, texts);
  const say = async (text) => {
    await page.focus('#text');
    await page.keyboard.type(text);
    await page.keyboard.press('Enter');
  };

  await page.goto(`${url}/?lang=en`);
  await connection('live');
  await say('from Firefox');
  await shows(['from Firefox']);
  await step('said');
  await shows(['from Firefox', 'from a bot']);
  await step('heard');
  await connection('waiting');
  await say('while the server is away');
  await step('waiting');
  await connection('live');
  await shows(['from Firefox', 'from a bot', 'while the server is away']);
  await page.reload();
  await shows(['from Firefox', 'from a bot', 'while the server is away']);
  if (faults.length > 0) throw new Error(faults.join('\n'));
  console.log('well');
} finally {
  await browser.close();
}
process.exit();
