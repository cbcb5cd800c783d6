/** Shows a dialog above everything else; who opened it by keyboard is back where they were when it goes, however it goes. */
export function modal(dialog: HTMLDialogElement): () => void {
  const opener = document.activeElement;
  dialog.showModal();
  return () => {
    const isLost = dialog.contains(document.activeElement) || document.activeElement === document.body;
    if (isLost && opener instanceof HTMLElement && opener.isConnected) opener.focus({ preventScroll: true });
  };
}
