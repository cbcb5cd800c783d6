/** Short notices at the edge of the screen, read out by screen readers. */
import { asNatterError } from '../client/index.ts';
import { errorText } from '../i18n/index.svelte.ts';

export interface Toast {
  id: number;
  text: string;
  isError: boolean;
  action?: { label: string; act: () => void };
}

/** Milliseconds that a notice stays; one with something to press stays twice as long. */
const STAY = 5_000;

class Toasts {
  list = $state<Toast[]>([]);
  /** Open dialogs: they show failures themselves, for what is behind them is neither seen nor read out. */
  dialogs = $state(0);
  #next = 1;

  tell(text: string, action?: Toast['action']): void {
    this.#add({ id: this.#next++, text, isError: false, ...(action ? { action } : {}) });
  }

  /** Tells a failure in the user's language, or in the server's words. */
  fail(thrown: unknown): void {
    const error = asNatterError(thrown);
    if (error.code !== 'aborted') this.#add({ id: this.#next++, text: errorText(error), isError: true });
  }

  dismiss(id: number): void {
    this.list = this.list.filter((toast) => toast.id !== id);
  }

  #add(toast: Toast): void {
    this.list = [...this.list.slice(-2), toast];
    setTimeout(() => this.dismiss(toast.id), toast.action ? STAY * 2 : STAY);
  }
}

export const toasts = new Toasts();
