// A real browser, and a person who reads before clicking: Chromium without a window. Fails if the consent page does not
// say what it must, or can be framed.
import { createServer } from "node:http";
import puppeteer from "puppeteer-core";

export async function visit(url, until) {
  const browser = await puppeteer.launch({
    executablePath: process.env.CHROMIUM,
    args: ["--no-sandbox", "--disable-dev-shm-usage"],
  });
  try {
    await refusesFrames(browser, url);
    const page = await browser.newPage();
    const loud = [];
    page.on("console", (message) => loud.push(message.text()));
    page.on("pageerror", (error) => loud.push(String(error)));
    await page.goto(url.href, { waitUntil: "load" });
    const text = await page.$eval("body", (body) => body.innerText);
    const asked = url.searchParams;
    const destination = new URL(asked.get("redirect_uri")).hostname;
    for (const word of ["tester", destination, asked.get("resource"), "read"]) {
      if (!text.includes(word)) throw new Error(`the page does not say ${word}: ${text}`);
    }
    const style = await page.$eval("button.yes", (button) => getComputedStyle(button).backgroundColor);
    if (style !== "rgb(21, 87, 192)") throw new Error(`the page's style is blocked: ${style}`);
    const arrived = new Promise((resolve, reject) => {
      page.on("request", (request) => {
        if (request.isNavigationRequest() && request.url().startsWith(until)) resolve(new URL(request.url()));
      });
      setTimeout(() => reject(new Error(`stays at ${page.url()}`)), 20_000);
    });
    await page.click("button.yes");
    const landed = await arrived;
    const cookies = (await browser.cookies()).filter(({ name }) => name.includes("doorward"));
    for (const { name, httpOnly, secure, sameSite } of cookies) {
      if (!name.startsWith("__Host-") || !httpOnly || !secure || sameSite !== "Lax") throw new Error(`the cookie ${name}`);
    }
    if (cookies.some(({ name }) => name.includes("login"))) throw new Error("the login's cookie stays");
    if (loud.length > 0) throw new Error(loud.join("\n"));
    return landed;
  } finally {
    await browser.close();
  }
}

// A page of another site that shows the consent page in a frame, to have somebody click without seeing.
async function refusesFrames(browser, url) {
  const server = createServer((_, response) => {
    response.setHeader("content-type", "text/html");
    response.end(`<iframe src="${url.href.replaceAll("&", "&amp;")}"></iframe>`);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const page = await browser.newPage();
  await page.goto(`http://localhost:${server.address().port}/`, { waitUntil: "load" });
  const [frame] = page.frames().filter((frame) => frame !== page.mainFrame());
  if (frame && (await frame.$("button"))) throw new Error("the page can be framed");
  await page.close();
  server.close();
}
