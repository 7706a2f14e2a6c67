import { type FormEvent, useState } from "react";
import logo from "../../app/favicon.svg";
import { signIn } from "../../app/session";
import { Code } from "../../ui/code";
import { Dialog } from "../../ui/dialog";
import { Field } from "../../ui/page";
import { ErrorMessage } from "../../ui/panel";

/** The one field that a reader without a session sees. */
function KeyForm({ act }: { act: string }) {
  const [key, setKey] = useState("");
  const [error, setError] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      await signIn(key);
    } catch (cause) {
      setError(cause);
    } finally {
      setBusy(false);
    }
  };
  return (
    <form className="stack" onSubmit={submit}>
      <Field id="api-key" label="API key" hint="It is sent once and kept nowhere. The session ends after 12 hours.">
        <input
          id="api-key"
          type="password"
          autoComplete="current-password"
          spellCheck={false}
          required
          // biome-ignore lint/a11y/noAutofocus: the page or dialog has no other purpose
          autoFocus
          value={key}
          onChange={(event) => setKey(event.target.value)}
          aria-describedby="api-key-hint"
        />
      </Field>
      {error !== null && <ErrorMessage error={error} />}
      <button type="submit" className="button primary" disabled={busy || key.trim() === ""}>
        {busy ? "Signing in …" : act}
      </button>
    </form>
  );
}

export function SignInPage() {
  return (
    <main className="sign-in">
      <div className="sign-in-card">
        <h1 className="brand">
          <img src={logo} alt="" />
          Batchyard
        </h1>
        <div className="panel">
          <KeyForm act="Sign in" />
        </div>
        <div className="stack">
          <p className="note">On this machine, this command prints a link that signs you in:</p>
          <Code text="batchyard dashboard" label="command" />
        </div>
      </div>
    </main>
  );
}

/** After the session has ended: the page behind stays as it is. */
export function SignInDialog() {
  return (
    <Dialog title="Your session has ended" onClose={() => {}} closable={false}>
      <p className="note">The page stays as it is. Sign in again to go on.</p>
      <KeyForm act="Sign in again" />
    </Dialog>
  );
}
