// Drives the page in Firefox, in steps. It writes the name of each step, and
// continues when the test has done its part and answers with a line.
import { createInterface } from 'node:readline';
import { setTimeout } from 'node:timers/promises';
import { launch, newPage } from './firefox-page.mjs';

const [url, story] = process.argv.slice(2);
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const faults = [];

/** @param {string} name of what is done */
const step = async (name) => {
  console.log(name);
  await lines.next();
};

const stories = {
  // it sends, receives, and resumes across a restart and a reload
  async resume(browser) {
    const { page, connection, say, shows } = await newPage(browser, faults);
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
  },

  // an @ offers names
  async mentions(browser) {
    const { page, connection, shows } = await newPage(browser, faults);
    await page.goto(`${url}/?lang=en`);
    await connection('live');
    await shows(['hello']);
    await page.focus('#text');
    await page.keyboard.type('hi @KI');
    await page.waitForSelector('[role=option][aria-selected=true]');
    await page.keyboard.press('Enter');
    await page.waitForFunction(() => document.getElementById('text').value === 'hi @kim ' && !document.querySelector('[role=option]'));
    await page.keyboard.type('@k');
    await page.click('[role=option]');
    await page.waitForFunction(() => document.getElementById('text').value === 'hi @kim @kim ');
    await page.keyboard.press('Enter');
    await shows(['hello', 'hi @kim @kim']);
  },

  // three tabs over HTTP/2, each with its own stream
  async tabs(browser) {
    const tabs = [];
    const texts = [];
    const open = async () => {
      const tab = await newPage(browser, faults);
      await tab.page.goto(`${url}/?lang=en`);
      await tab.connection('live');
      await tab.shows(texts);
      tabs.push(tab);
    };
    const say = async ({ page, say: send }, text) => {
      await page.bringToFront();
      await send(text);
      texts.push(text);
      for (const { page: other, shows } of tabs) {
        await other.bringToFront();
        await shows(texts);
      }
    };
    for (const _ of [1, 2, 3]) await open();
    const protocol = await tabs[0].page.evaluate(() => performance.getEntriesByType('navigation')[0].nextHopProtocol);
    if (protocol !== 'h2') throw new Error(`the protocol is ${protocol}`);
    for (const [i, tab] of tabs.entries()) await say(tab, `from tab ${i}`);
    await step('said');
    for (const trouble of ['idled', 'reloaded', 'cut', 'exited']) {
      await say(tabs[0], `once it has ${trouble}`);
      await step(trouble);
    }
    await open();
    await say(tabs[3], 'from a new tab');
  },

  // no site data; two tabs, each alone
  async blocked(browser) {
    const [one, two] = [await newPage(browser, faults), await newPage(browser, faults)];
    for (const { page, connection } of [one, two]) {
      await page.bringToFront();
      await page.goto(`${url}/?lang=en`);
      await connection('live');
    }
    const error = await one.page.evaluate(() => { try { return String(localStorage); } catch (e) { return e.name; } });
    if (error !== 'SecurityError') throw new Error(`site data is not blocked: localStorage is ${error}`);
    await two.say('from one');
    await one.page.bringToFront();
    await one.say('from another');
    for (const { page, shows } of [one, two]) {
      await page.bringToFront();
      await shows(['from one', 'from another']);
    }
  },

  // the network is slow, and the tab is closed right after Enter
  async closed(browser) {
    const first = await newPage(browser, faults);
    await first.page.goto(`${url}/?lang=en`);
    await first.connection('live');
    await step('slow');
    await first.say('last words');
    await setTimeout(30); // the test is to close this soon
    await first.page.close();
    const second = await newPage(browser, faults);
    await second.page.goto(`${url}/?lang=en`);
    await second.shows(['last words']);
  },

  // the login expires, and one room needs one
  async login(browser) {
    const { page, connection, say, shows } = await newPage(browser, faults);
    const cookie = (age) => page.evaluate((seconds) => { document.cookie = `session=kim; path=/; max-age=${seconds}`; }, age);
    const told = (text) => page.waitForFunction((want) => document.getElementById('status-text').textContent === want, {}, text);
    await page.goto(`${url}/login`);
    await cookie(3600);
    await page.goto(`${url}/?lang=en`);
    await connection('live');
    await page.goto(`${url}/?lang=en&room=staff`);
    await connection('live');
    await say('before');
    await shows(['before']);
    await cookie(0);
    await say('meanwhile');
    await told('You have to log in again.');
    await page.reload();
    await told('This room does not let you in. Log in, or ask who runs it.');
    await page.$eval('#rooms a', (a) => a.click()); // the lobby, in a closed menu
    await connection('live');
    await say('here I may');
    await shows(['here I may']);
    await cookie(3600);
    await page.$eval('#rooms li:last-child a', (a) => a.click());
    await connection('live');
    await shows(['before', 'meanwhile']);
  },
};

const browser = await launch(story === 'blocked' ? { 'network.cookie.cookieBehavior': 2 } : {});
try {
  await stories[story](browser);
  if (faults.length > 0) throw new Error(faults.join('\n'));
  console.log('well');
} finally {
  await browser.close();
}
process.exit();
