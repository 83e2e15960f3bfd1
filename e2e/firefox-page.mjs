// A page in Firefox for the tests.
import puppeteer from 'puppeteer-core';

/** @param {Record<string, unknown>} [extraPrefsFirefox] */
export const launch = (extraPrefsFirefox) => puppeteer.launch({ browser: 'firefox', executablePath: '/usr/bin/firefox-esr', headless: true, acceptInsecureCerts: true, extraPrefsFirefox });

/** @param {import('puppeteer-core').Browser} browser @param {string[]} faults */
export async function newPage(browser, faults) {
  const page = await browser.newPage();
  /** @param {string} text */
  const fault = (text) => {
    if (!text.includes('establish a connection')) faults.push(text); // the browser itself reports a refused stream
  };
  page.on('pageerror', (error) => fault(String(error)));
  page.on('console', (message) => { if (message.type() === 'error') fault(message.text()); });
  await page.evaluateOnNewDocument(() => {
    addEventListener('securitypolicyviolation', (event) => console.error(`policy: ${event.violatedDirective}`));
  });
  return {
    page,
    connection: (state) => page.waitForFunction((is) => document.body.dataset.connection === is, {}, state),
    shows: (texts) => page.waitForFunction((all) => {
      const rows = [...document.querySelectorAll('#messages .text')].map((text) => text.textContent);
      return rows.join('\n') === all.join('\n') && !document.querySelector('#messages .pending');
    }, {}, texts),
    say: async (text) => {
      await page.focus('#text');
      await page.keyboard.type(text);
      await page.keyboard.press('Enter');
    },
  };
}
