/** The emoji of the picker, by group. Others can be typed. */
const list = (text: string) => text.split(' ');

export const EMOJI = {
  smileys: list('😀 😃 😄 😁 😆 😅 🤣 😂 🙂 🙃 😉 😊 😇 🥰 😍 😘 😋 😜 🤪 🤗 🤔 🤨 😐 😏 🙄 😬 😌 😴 🤤 😷 🤒 🥳 😎 🤓 😕 🙁 😮 😳 🥺 😢 😭 😤 😡 🤯 😱 🥶 😈 👻 🤖'),
  gestures: list('👍 👎 👌 ✌️ 🤞 🤟 👋 🤚 ✋ 👏 🙌 🤝 🙏 💪 👀 🧠 👉 👈 👆 👇 ☝️ ✍️ 🤷 🤦 🙋 🙇 💁 🕺 💃 👩‍💻 👨‍🍳 👶'),
  nature: list('🐶 🐱 🐭 🐰 🦊 🐻 🐼 🐸 🐵 🐔 🐧 🦉 🐝 🦋 🐢 🐙 🐳 🌱 🌲 🌸 🌻 🍀 🍁 🌍 🌙 ⭐ ☀️ ⛅ 🌧️ ❄️ 🌈 🔥 🌊'),
  food: list('🍎 🍌 🍇 🍓 🍑 🥑 🌽 🥕 🍞 🧀 🍕 🍔 🍟 🌮 🍜 🍣 🍰 🎂 🍪 🍫 🍿 ☕ 🍵 🍺 🍷 🥂'),
  things: list('⚽ 🏀 🎾 🏆 🎯 🎮 🎲 🎸 🎧 🎬 🎨 🚗 🚲 ✈️ 🚀 🏠 🏖️ ⏰ 📱 💻 💡 🔧 📌 📎 📚 ✏️ 📷 💰 🎁 🎈 🎉'),
  signs: list('❤️ 🧡 💛 💚 💙 💜 🖤 💔 💯 ✅ ❌ ❓ ❗ ⚠️ 🚫 ♻️ ➕ ➡️ 🔔 💬 💤 🏁'),
} as const;

export type EmojiGroup = keyof typeof EMOJI;
