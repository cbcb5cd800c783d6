/** Copying to the clipboard, also where the page did not come over https. */
import { t } from '../i18n/index.svelte.ts';
import { toasts } from './toasts.svelte.ts';

export async function copy(text: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    copyBySelection(text);
  }
  toasts.tell(t('app.copied'));
}

/** The clipboard API is for secure origins alone; the old command is not. */
function copyBySelection(text: string): void {
  const focused = document.activeElement;
  const area = document.createElement('textarea');
  area.value = text;
  area.className = 'visually-hidden';
  document.body.append(area);
  area.select();
  document.execCommand('copy');
  area.remove();
  if (focused instanceof HTMLElement) focused.focus();
}
