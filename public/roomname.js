// Which rooms are valid, as in internal/wire: a test compares both.

export const invisible = String.raw`[\p{Default_Ignorable_Code_Point}\u2800\u2d7f\ufffc\ufffd\u{1107f}\u{13441}\u{13442}\u{16fe4}\u{1bc9d}\u{1d159}]`;
export const letter = String.raw`[[\p{L}\p{M}\p{Nd}_.\-]--${invisible}]`;
const room = new RegExp(`^${letter}{1,64}$`, 'v');

/** The typed room, normalized, or ''. @param {string} typed */
export function roomName(typed) {
  const name = typed.trim().normalize('NFC');
  return room.test(name) ? name : '';
}
