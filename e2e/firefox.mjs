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

  // what is typed, pasted or dropped anywhere goes to the composer
  async anywhere(browser) {
    const { page, connection, shows } = await newPage(browser, faults);
    await page.goto(`${url}/?lang=en`);
    await connection('live');
    await page.focus('#scroller');
    await page.keyboard.type("'a/b");
    await page.waitForFunction(() => document.getElementById('text').value === "'a/b");
    await page.focus('#scroller');
    await page.evaluate(() => {
      const data = new DataTransfer();
      data.setData('text/plain', ' and c');
      data.items.add(new File(['x'], 'x.png', { type: 'image/png' }));
      document.body.dispatchEvent(new DragEvent('drop', { bubbles: true, cancelable: true, dataTransfer: data }));
    });
    await page.waitForFunction(() => document.getElementById('note').textContent === 'Only text can be sent.');
    await page.keyboard.press('Enter');
    await shows(["'a/b and c"]);
    // a selection holds the list; its end lets it go
    await page.evaluate(async () => {
      await import('./menu.js'); // a pointer that selects would have loaded it
      getSelection().selectAllChildren(document.querySelector('#messages .text'));
    });
    await step('selected');
    await page.waitForFunction(() => document.getElementById('pill').textContent === '40 new messages' && document.getElementById('scroller').scrollTop === 0);
    await page.evaluate(() => getSelection().removeAllRanges());
    await page.waitForFunction(() => document.getElementById('pill').hidden && document.getElementById('scroller').scrollTop > 0);
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

  // it reacts, answers, edits and deletes
  async menu(browser) {
    const { page, connection, say, shows } = await newPage(browser, faults);
    const act = async (i, choice) => {
      await page.hover(`#messages li:nth-child(${i}) .text`);
      await page.locator(`#messages li:nth-child(${i}) .more`).click();
      await page.locator(`#actions button ::-p-text(${choice})`).click();
    };
    const has = (selector, text) => page.waitForFunction((at, want) => [...document.querySelectorAll(at)].map((e) => e.textContent).join() === want, {}, selector, text);
    await page.goto(`${url}/?lang=en`);
    await connection('live');
    await say('one');
    await shows(['one']);
    await act(1, '👍');
    await has('.reaction', '👍 1');
    await act(1, 'Reply');
    await page.waitForSelector('#replying:not([hidden])');
    await say('two');
    await has('.quote', 'you one');
    await page.keyboard.press('ArrowUp');
    await page.waitForFunction(() => document.activeElement.matches('.edit textarea'));
    await page.keyboard.type('!');
    await page.keyboard.press('Enter');
    await shows(['one', 'two!']);
    await act(1, 'Delete');
    await shows(['two!']);
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

  // directions of lines, folding, code that scrolls, and the clock
  async text(browser) {
    const { page } = await newPage(browser, faults);
    await page.goto(`${url}/?lang=en`);
    await page.waitForFunction(() => document.querySelectorAll('#messages .text').length === 3);
    const [lefts, folded, tabIndex, clock] = await page.evaluate(async () => {
      const [lines, long, code] = document.querySelectorAll('#messages .text');
      const range = document.createRange();
      range.selectNodeContents(lines);
      const rows = [...range.getClientRects()].filter(({ width }) => width > 0);
      const { timeOf } = await import('./page.js');
      return [rows.map(({ left }) => left > lines.getBoundingClientRect().left + 30), long.matches('.folded.over') && long.offsetHeight < 600,
        code.querySelector('pre').tabIndex, timeOf(new Date(2026, 0, 1, 9, 5))];
    });
    const got = JSON.stringify([lefts, folded, tabIndex, clock.replace(/\s/, ' ')]);
    if (got !== '[[false,true],true,0,"09:05"]') throw new Error(`the page is ${got}`);
  },

  // the menu of a small screen
  async drawer(browser) {
    const { page, connection } = await newPage(browser, faults);
    await page.setViewport({ width: 320, height: 568 });
    await page.goto(`${url}/?lang=en&room=tea`);
    await connection('live');
    const is = (want) => page.waitForFunction((wanted) => [document.querySelector(':popover-open')?.id, document.activeElement.id, document.querySelector('main').inert, history.state].join() === wanted, {}, want);
    for (const close of [() => page.goBack(), () => page.keyboard.press('Escape'), () => page.click('#close-menu')]) {
      await page.focus('#open-menu');
      await page.keyboard.press('Enter');
      await is('menu,close-menu,true,panel');
      for (let i = 0; i < 9; i++) {
        await page.keyboard.press('Tab');
        if (await page.evaluate(() => document.activeElement.closest('main'))) throw new Error('Tab leaves the menu');
      }
      await page.focus('#close-menu');
      await close();
      await is(',open-menu,false,');
    }
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
    await told('This room does not let you in. Log in, or ask whoever runs it.');
    await page.$eval('#rooms li:last-child a', (a) => a.click()); // the lobby, in a closed menu
    await connection('live');
    await say('here I may');
    await shows(['here I may']);
    await cookie(3600);
    await page.$eval('#rooms li:last-child a', (a) => a.click());
    await connection('live');
    await shows(['before', 'meanwhile']);
  },
};

const preferences = { blocked: { 'network.cookie.cookieBehavior': 2 }, text: { 'intl.accept_languages': 'de' } };
const browser = await launch(preferences[story] ?? {});
try {
  await stories[story](browser);
  if (faults.length > 0) throw new Error(faults.join('\n'));
  console.log('well');
} finally {
  await browser.close();
}
process.exit();
