// The emoji picker for reactions. Its field takes any other emoji from the system's keyboard.

import { make } from './dom.js';
import { say } from './words.js';

const MANY = '😀 😄 😁 😅 🤣 😊 😍 😘 😜 🤔 🤨 😐 🙄 😴 🤗 🤩 🥳 😎 🥺 😭 😤 😡 🤯 😱 🤮 🤡 💩 👻 👀 🙈 👏 🙌 👎 👌 ✌️ 🤞 🤝 💪 👋 🤷 🤦 ❤️ 🧡 💛 💚 💙 💜 🖤 💔 💯 🔥 ✨ ⭐ 🎉 🎂 🎁 🏆 🚀 ✅ ❌ ❓ ❗ ⚠️ 💡 ☕ 🍺 🍕 🌧️ ☀️ 🌈 🌸 🐶 🐱 🐝'.split(' ');

const one = /^\p{RGI_Emoji}$/v;

/** @param {(emoji: string) => void} choose */
export function grid(choose) {
  const field = make('input', { 'aria-label': say('anyEmoji'), placeholder: say('anyEmoji'), autocomplete: 'off' });
  field.addEventListener('input', () => one.test(field.value.trim()) && choose(field.value.trim()));
  return make('div', { class: 'grid' }, field,
    ...MANY.map((emoji) => make('button', { type: 'button', onclick: () => choose(emoji) }, emoji)));
}
