import { t } from '../i18n/index.svelte.ts';

/** Who types, in one line; empty when nobody does. In a private room there is only one to type. */
export function typingText(names: string[], isPrivate = false): string {
  const [name, other] = names;
  if (!name) return '';
  if (isPrivate || !other) return t('conversation.typing1', { name });
  return names.length === 2 ? t('conversation.typing2', { name, other }) : t('conversation.typingMany');
}
