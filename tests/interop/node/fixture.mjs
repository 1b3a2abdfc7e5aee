// What every server of the matrix offers, beyond what its SDK must register itself.

export const IMAGE =
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==";
export const AUDIO = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA=";
export const NAMES = ["Ada", "Alan", "Barbara", "Grace"];
export const QUESTION = {
  message: "Your name?",
  requestedSchema: {
    type: "object",
    properties: { name: { type: "string" } },
    required: ["name"],
  },
};
export const SAMPLING = {
  messages: [{ role: "user", content: { type: "text", text: "ping" } }],
  maxTokens: 10,
};

// Calls that were cancelled, in all sessions.
export const cancelled = { count: 0 };

export const text = (text) => ({ content: [{ type: "text", text }] });

/** Waits until the call is cancelled, or for half a minute. */
export function untilCancelled(signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(text("not cancelled")), 30_000);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      cancelled.count += 1;
      resolve(text("cancelled"));
    });
  });
}

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
