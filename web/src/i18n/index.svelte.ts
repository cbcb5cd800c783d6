/** The interface's texts, dates and numbers in the user's language. */
import type { FieldError, NatterError } from '../client/index.ts';
import { store, stored } from '../state/storage.ts';
import { en } from './en.ts';

export type Key = keyof typeof en;
/** A text, or one text per plural form, chosen by the parameter `count`. */
export type Text = string | (Partial<Record<Intl.LDMLPluralRule, string>> & { other: string });
export type Catalogue = Record<Key, Text>;
export type Locale = 'en' | 'ar';

/** Every language that the interface speaks, by its own name. */
export const LOCALES: readonly { locale: Locale; name: string; dir: 'ltr' | 'rtl' }[] = [
  { locale: 'en', name: 'English', dir: 'ltr' },
  { locale: 'ar', name: 'العربية', dir: 'rtl' },
];
const KEY = 'natter.locale';

class Language {
  locale = $state.raw<Locale>('en');
  catalogue = $state.raw<Catalogue>(en);

  /** Takes the language that was chosen before, or else the browser's. */
  async begin(): Promise<void> {
    const wished = stored(KEY) ?? navigator.language.split('-')[0];
    await this.use(LOCALES.find(({ locale }) => locale === wished)?.locale ?? 'en');
  }

  async choose(locale: Locale): Promise<void> {
    store(KEY, locale);
    await this.use(locale);
  }

  get dir(): 'ltr' | 'rtl' {
    return LOCALES.find((one) => one.locale === this.locale)?.dir ?? 'ltr';
  }

  async use(locale: Locale): Promise<void> {
    this.catalogue = locale === 'ar' ? (await import('./ar.ts')).ar : en;
    this.locale = locale;
    document.documentElement.lang = locale;
    document.documentElement.dir = this.dir;
  }
}

export const language = new Language();

/** The text of `key`, with `{name}` replaced by the parameter of that name. */
export function t(key: Key, params: Record<string, string | number> = {}): string {
  const text = language.catalogue[key] ?? en[key];
  const form = typeof text === 'string' ? text : (text[plural(Number(params['count']))] ?? text.other);
  return form.replace(/\{(\w+)\}/g, (whole, name: string) => {
    const value = params[name];
    if (value === undefined) return whole;
    if (typeof value === 'number') return number(value);
    // A name in Latin letters keeps what stands behind it on its own side of an Arabic text.
    return language.dir === 'rtl' ? `\u2068${value}\u2069` : value;
  });
}

/** What went wrong, in the user's language where the code has a text, else in the server's words. */
export function errorText(error: NatterError): string {
  const key = `error.${error.code}`;
  const field = error.fields[0];
  if (field) return fieldText(field);
  return key in en ? t(key as Key) : error.message;
}

/** What is wrong with a field: the server says it without a subject, "must be at most 64 characters". */
export function fieldText({ message }: FieldError): string {
  const most = /^must be at most (\d+) (bytes|characters)/.exec(message);
  if (most) return t(most[2] === 'bytes' ? 'error.mostBytes' : 'error.mostCharacters', { most: Number(most[1]) });
  return t('error.field', { problem: message });
}

/** The language with the region that the browser prefers for it: British dates for British readers. */
function region(): string {
  return navigator.languages.find((one) => one.split('-')[0] === language.locale) ?? language.locale;
}

const memo = new Map<string, Intl.DateTimeFormat>();

function dates(options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const key = language.locale + JSON.stringify(options);
  let format = memo.get(key);
  if (!format) memo.set(key, (format = new Intl.DateTimeFormat(region(), options)));
  return format;
}

function plural(count: number): Intl.LDMLPluralRule {
  return new Intl.PluralRules(language.locale).select(count);
}

export function number(value: number): string {
  return new Intl.NumberFormat(language.locale).format(value);
}

/** 14:05 */
export function clock(iso: string): string {
  return dates({ hour: '2-digit', minute: '2-digit' }).format(new Date(iso));
}

/** The whole date and time, for tooltips. */
export function moment(iso: string): string {
  return dates({ dateStyle: 'full', timeStyle: 'short' }).format(new Date(iso));
}

/** A date without its time, short, for tables. */
export function date(iso: string): string {
  return dates({ dateStyle: 'medium' }).format(new Date(iso));
}

/** The day of a separator: today, yesterday, or its date. */
export function day(iso: string, now = new Date()): string {
  const date = new Date(iso);
  const away = daysBetween(date, now);
  if (away === 0) return t('day.today');
  if (away === 1) return t('day.yesterday');
  const sameYear = date.getFullYear() === now.getFullYear();
  return dates({ weekday: 'long', day: 'numeric', month: 'long', ...(sameYear ? {} : { year: 'numeric' }) }).format(date);
}

/** When something last happened, as short as a list wants it: 14:05, Tue, 3 Mar, 03/03/2024. */
export function brief(iso: string, now = new Date()): string {
  const date = new Date(iso);
  const away = daysBetween(date, now);
  if (away === 0) return clock(iso);
  if (away < 7) return dates({ weekday: 'short' }).format(date);
  if (date.getFullYear() === now.getFullYear()) return dates({ day: 'numeric', month: 'short' }).format(date);
  return dates({ dateStyle: 'short' }).format(date);
}

export function isSameDay(a: string, b: string): boolean {
  return new Date(a).toDateString() === new Date(b).toDateString();
}

function daysBetween(date: Date, now: Date): number {
  const midnight = (of: Date) => new Date(of.getFullYear(), of.getMonth(), of.getDate()).getTime();
  return Math.round((midnight(now) - midnight(date)) / 86_400_000);
}

/** 3.4 MB */
export function bytes(count: number): string {
  const units = ['byte', 'kilobyte', 'megabyte', 'gigabyte'] as const;
  let value = count;
  let unit = 0;
  while (value >= 1_000 && unit < units.length - 1) {
    value /= 1_000;
    unit += 1;
  }
  const options: Intl.NumberFormatOptions = { style: 'unit', unit: units[unit] ?? 'byte', unitDisplay: unit === 0 ? 'long' : 'short', maximumFractionDigits: value < 10 && unit > 0 ? 1 : 0 };
  return new Intl.NumberFormat(language.locale, options).format(value);
}

/** "Ada, Bo and Cy" */
export function names(list: string[]): string {
  return new Intl.ListFormat(language.locale, { type: 'conjunction' }).format(list);
}
