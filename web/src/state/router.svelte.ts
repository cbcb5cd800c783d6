/** Which screen is shown, as the address says. */
export type Section = 'users' | 'rooms' | 'join-requests' | 'sessions';
export const SECTIONS: readonly Section[] = ['users', 'rooms', 'join-requests', 'sessions'];

export type Route =
  | { name: 'home' }
  | { name: 'log-in' }
  | { name: 'sign-up' }
  | { name: 'room'; room: string; message: string | null }
  | { name: 'settings' }
  | { name: 'manage'; section: Section };

/** The route of a path; what is no route is the home screen. */
export function parse(path: string): Route {
  const parts = path.split('/').filter(Boolean).map(decode);
  const [first, second, third, fourth] = parts;
  if (first === 'log-in' || first === 'sign-up' || first === 'settings') return { name: first };
  if (first === 'rooms' && second) {
    return { name: 'room', room: second, message: third === 'messages' && fourth ? fourth : null };
  }
  if (first === 'manage') {
    return { name: 'manage', section: SECTIONS.find((section) => section === second) ?? 'users' };
  }
  return { name: 'home' };
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

class Router {
  route = $state.raw<Route>(parse(location.pathname));
  /** Rises with every move, also to where one is already: a link to a message points at it again. */
  moves = $state(0);
  /** Whether the side panel of a room is shown. */
  panel = $state(false);

  constructor() {
    addEventListener('popstate', () => this.#show());
    document.addEventListener('click', (event) => this.#click(event));
  }

  go(path: string, options: { replace?: boolean; panel?: boolean } = {}): void {
    const before = this.route;
    if (options.replace) history.replaceState(null, '', path);
    else if (path !== location.pathname) history.pushState(null, '', path);
    this.#show();
    const sameRoom = before.name === 'room' && this.route.name === 'room' && before.room === this.route.room;
    if (options.panel !== undefined) this.panel = options.panel;
    else if (!sameRoom && !matchMedia('(min-width: 1200px)').matches) this.panel = false;
  }

  #show(): void {
    this.route = parse(location.pathname);
    this.moves += 1;
  }

  /** Links within the application change the screen, not the page. */
  #click(event: MouseEvent): void {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = (event.target as Element | null)?.closest?.('a[href]');
    if (!(link instanceof HTMLAnchorElement) || link.target || link.download) return;
    if (link.origin !== location.origin || !isOurs(link.pathname)) return;
    event.preventDefault();
    this.go(link.pathname);
  }
}

/** Whether a path of this origin is a screen; `/docs` and media are the server's. */
export function isOurs(path: string): boolean {
  return path === '/' || /^\/(rooms|manage|settings|log-in|sign-up)(\/|$)/.test(path);
}

export const router = new Router();
